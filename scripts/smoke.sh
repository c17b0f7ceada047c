#!/bin/sh
# After a deploy: asks every public endpoint of a running service once, a line each.
#
#   scripts/smoke.sh https://voice.example.com          API_KEY in the environment where the service has API_KEYS
#
# Needs a POSIX shell and curl. Leaves with 0 when everything answered as it should, with 1 when something did not.
# TIMEOUT: seconds a request may take (120).
set -u
LC_ALL=C
export LC_ALL
umask 077

if [ $# -ne 1 ]; then
    echo "usage: [API_KEY=...] $0 BASE_URL" >&2
    exit 2
fi
base=${1%/}
case $base in http://* | https://*) ;; *) echo "$base: begin with http:// or https://" >&2; exit 2 ;; esac

work=${TMPDIR:-/tmp}/smoke.$$
mkdir "$work" || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The key goes by a file: what stands on a command line can be read by every user of the machine.
: > "$work/with_key"
[ -z "${API_KEY:-}" ] || printf 'header = "Authorization: Bearer %s"\n' "$API_KEY" > "$work/with_key"
: > "$work/no_key"
sentence="The meeting starts at ten. Please bring the report with you."
voice=/api/v1/pam/voice
json="Content-Type: application/json"
passed=0 failed=0 skipped=0 status='' type='' size='' milliseconds='' keys=with_key

# ask PATH CURL-ARGUMENTS...: fills $work/body, status, type, size, milliseconds. A service that is busy, or starting,
# says so by Retry-After, and is asked again.
ask() {
    patience=3
    while asked_once "$@" && [ $patience -gt 1 ]; do
        case $status in 429 | 503) ;; *) break ;; esac
        wait=$(sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9]*\).*/\1/p' "$work/head")
        if [ -z "$wait" ] || [ "$wait" -gt 30 ]; then break; fi
        sleep "$wait"
        patience=$((patience - 1))
    done
    if [ "$status" = 401 ] && [ "$keys" = with_key ]; then
        line FAIL "$path" "a key is needed"
        if [ -n "${API_KEY:-}" ]; then echo "$base does not know the key in API_KEY." >&2
        else echo "$base wants a key: put one of its API_KEYS into API_KEY." >&2; fi
        echo "To read it: heroku config:get API_KEYS; on Render, Environment of the service; with compose, .env." >&2
        exit 1
    fi
}

asked_once() {
    path=$1
    shift
    : > "$work/body"
    curl --silent --show-error --globoff --config "$work/$keys" --connect-timeout 10 --max-time "${TIMEOUT:-120}" \
        --output "$work/body" --dump-header "$work/head" \
        --write-out '%{http_code} %{time_total} %{size_download} %{content_type}\n' \
        "$@" "$base$path" > "$work/figures" 2> "$work/complaint"
    read -r status seconds size type < "$work/figures" || status=000
    whole=${seconds%.*} rest=${seconds#*.}000
    rest=${rest%"${rest#???}"} rest=${rest#0} rest=${rest#0}
    milliseconds=$((whole * 1000 + ${rest:-0}))
}

line() { # VERDICT WHAT WHY
    printf '%-5s %s %6s ms  %s%s\n' "$1" "$status" "$milliseconds" "$2" "${3:+: $3}"
}

ok() { passed=$((passed + 1)); line ok "$1"; }
skip() { skipped=$((skipped + 1)); line skip "$1" "$2"; }
fail() {
    failed=$((failed + 1))
    line FAIL "$1" "$2 $(cat "$work/complaint")"
    case $type in application/json*) printf '      %.300s\n' "$(cat "$work/body")" ;; esac
}

refused() { # STATUS WORD: by the service's own decision
    [ "$status" = "$1" ] && grep -q "$2" "$work/body"
}

# check WHAT STATUS PATTERN PATH CURL-ARGUMENTS...: PATTERN is for grep, in the body; "audio" stands for sound.
check() {
    what=$1 expected=$2 pattern=$3
    shift 3
    ask "$@"
    if refused 503 local_whisper_disabled; then
        skip "$what" "transcription is off there (DISABLE_LOCAL_WHISPER)"
    elif refused 400 model_cannot_translate; then
        skip "$what" "the model there is English only"
    elif refused 404 MONITORING; then
        skip "$what" "monitoring is off there"
    elif [ "$status" != "$expected" ]; then
        fail "$what" "$expected was expected."
    elif [ "$pattern" = audio ]; then
        case $type in
            audio/*) if [ "$size" -gt 1000 ]; then ok "$what"; else fail "$what" "only $size bytes."; fi ;;
            *) fail "$what" "$type is no audio." ;;
        esac
    elif grep -qi -e "$pattern" "$work/body"; then
        ok "$what"
    else
        fail "$what" "nothing in the answer matches $pattern."
    fi
}

check "GET /health/live" 200 alive /health/live
if [ "$status" = 000 ]; then
    echo "nobody answers at $base" >&2
    exit 1
fi
check "GET /" 200 '"pam-voice"' / -H "Accept: application/json"
check "GET / for a browser" 200 '<html' / -H "Accept: text/html"
check "GET /dashboard" 200 '<html' /dashboard
check "GET /health" 200 '"checks"' /health
check "GET /health/ready" 200 ready /health/ready
check "GET /docs" 200 '<html' /docs
check "GET /openapi.json" 200 '"openapi"' /openapi.json
if [ -n "${API_KEY:-}" ]; then
    keys=no_key
    check "GET /api/memory without the key" 401 invalid_api_key /api/memory
    keys=with_key
fi
check "GET /nothing" 404 not_found /nothing

check "POST $voice/speak" 200 audio $voice/speak -H "$json" \
    -d "{\"text\": \"$sentence\", \"language\": \"en\", \"format\": \"wav\"}"
cp "$work/body" "$work/spoken.wav"
check "POST $voice/speak, mp3" 200 audio $voice/speak -H "$json" -d "{\"text\": \"$sentence\", \"language\": \"en\"}"
check "POST $voice/transcribe" 200 'meeting.*report' $voice/transcribe -F "audio=@$work/spoken.wav"
check "POST $voice/transcribe, subtitles" 200 '-->' $voice/transcribe -F "audio=@$work/spoken.wav" -F format=srt
check "POST $voice/transcribe, events" 200 '"done"' $voice/transcribe -F "audio=@$work/spoken.wav" -F stream=true
check "POST $voice, a text" 200 audio $voice -H "$json" -d "{\"text\": \"$sentence\", \"language\": \"en\"}"
check "POST $voice, a recording" 200 meeting $voice -F "audio=@$work/spoken.wav"
check "POST $voice/test" 200 audio $voice/test -X POST
check "POST $voice/warm" 200 '"status"' $voice/warm -X POST
check "GET $voice/voices" 200 '"voices"' $voice/voices
check "GET $voice/health" 200 '"engines"' $voice/health

check "POST /v1/audio/speech" 200 audio /v1/audio/speech -H "$json" \
    -d "{\"model\": \"tts-1\", \"voice\": \"alloy\", \"input\": \"$sentence\"}"
check "POST /v1/audio/transcriptions" 200 meeting /v1/audio/transcriptions -F "file=@$work/spoken.wav" -F model=whisper-1
check "POST /v1/audio/translations" 200 '"text"' /v1/audio/translations -F "file=@$work/spoken.wav" -F model=whisper-1
check "GET /v1/models" 200 '"list"' /v1/models
check "GET /v1/models/tts-1" 200 '"tts-1"' /v1/models/tts-1
check "GET /v1/audio/models" 200 '"models"' /v1/audio/models
check "GET /v1/audio/voices" 200 '"alloy"' /v1/audio/voices
check "POST /v1/realtime/client_secrets" 200 '"ek_' /v1/realtime/client_secrets -H "$json" -d '{}'
check "POST /v1/realtime/transcription_sessions" 200 '"client_secret"' /v1/realtime/transcription_sessions -H "$json" -d '{}'
check "GET /v1/realtime without an upgrade" 426 upgrade_required /v1/realtime
check "GET $voice/live without an upgrade" 426 upgrade_required $voice/live

# A job, from its beginning to its removal.
what="POST $voice/jobs"
ask $voice/jobs -F "audio=@$work/spoken.wav"
if [ "$status" = 404 ]; then
    skip "$what" "there are no jobs there"
elif [ "$status" != 202 ]; then
    fail "$what" "202 was expected."
else
    ok "$what"
    job=$(tr '{' ',' < "$work/body" | tr ',' '\n' | sed -n 's/^ *"id": *"\([^"]*\)".*/\1/p' | sed 1q)
    check "GET $voice/jobs" 200 "$job" $voice/jobs
    check "GET $voice/jobs/<id>/events" 200 data: "$voice/jobs/$job/events"
    tries=0
    while ask "$voice/jobs/$job" && ! grep -q '"state": *"\(succeeded\|failed\|cancelled\)"' "$work/body"; do
        tries=$((tries + 1))
        if [ "$status" != 200 ] || [ $tries -ge 60 ]; then break; fi
        sleep 1
    done
    if [ "$status" = 200 ] && grep -q '"state": *"succeeded"' "$work/body"; then
        ok "GET $voice/jobs/<id>"
    else
        fail "GET $voice/jobs/<id>" "the job did not succeed."
    fi
    check "GET $voice/jobs/<id>/result" 200 meeting "$voice/jobs/$job/result?format=text"
    ask "$voice/jobs/$job" -X DELETE
    case $status in
        200 | 204) ok "DELETE $voice/jobs/<id>" ;;
        *) fail "DELETE $voice/jobs/<id>" "200 or 204 was expected." ;;
    esac
    check "GET $voice/jobs/<id>, removed" 404 job_not_found "$voice/jobs/$job"
    check "POST $voice/jobs/<id>/requeue, removed" 404 job_not_found "$voice/jobs/$job/requeue" -X POST
fi

check "GET /api/memory" 200 '"budget"' /api/memory
check "GET /memory" 200 '"budget"' /memory
check "GET /api/status" 200 '"health"' "/api/status?with=requests&with=history"
check "GET /api/memory/history" 200 '"samples"' /api/memory/history
check "POST /api/memory/optimize" 200 '"freed_mb"' /api/memory/optimize -X POST
check "POST /memory/optimize" 200 '"freed_mb"' /memory/optimize -X POST
check "GET /metrics" 200 '^# TYPE' /metrics
check "GET /api/monitoring/performance" 200 '{' /api/monitoring/performance
check "GET /api/monitoring/production" 200 '{' /api/monitoring/production
check "GET /api/monitoring/security" 200 '{' /api/monitoring/security

echo
echo "$passed ok, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
