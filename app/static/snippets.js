// What was just done, as a line for the shell, as a program with OpenAI's client, and for a page; a key is never in it.

import { hasKey, VOICE } from "./api.js";
import { element } from "./element.js";

const url = (path) => new URL(path, document.baseURI).href;
const shell = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
const text = JSON.stringify; // JSON's strings are Python's, too
const keyHeader = () => (hasKey() ? ` \\\n  -H "Authorization: Bearer $API_KEY"` : "");
// curl reads ; and , in a file's name as the end of it, unless it stands in quotes.
const fileOf = (name) => (/^[\w.-]+$/.test(name) ? name : `"${name.replace(/["\\]/g, "\\$&")}"`);

export function transcription(name, fields) {
  const { task, ...asked } = fields;
  const form = Object.entries({ stream: "true", ...fields }).map(([key, value]) => ` -F ${shell(`${key}=${value}`)}`);
  const verb = task === "translate" ? "translations" : "transcriptions";
  const known = verb === "translations" ? {} : asked; // OpenAI's translations take no language
  return {
    curl: `curl -sN ${url(`${VOICE}/transcribe`)}${keyHeader()} \\\n  -F ${shell(`audio=@${fileOf(name)}`)}${form.join("")}`,
    browser: `const form = new FormData();
// A file, or what MediaRecorder gives to ondataavailable.
const file = document.querySelector("input[type=file]");
form.append("audio", file.files[0]);
${Object.entries(fields).map(([key, value]) => `form.append(${text(key)}, ${text(value)});\n`).join("")}${browser(
      "transcribe",
      `{ method: "POST", body: form }`,
      "console.log((await response.json()).text);",
    )}`,
    python: python(
      `print(client.audio.${verb}.create(\n    model="whisper-1", file=open(${text(name)}, "rb")${options(known)}\n).text)`,
    ),
  };
}

export function speech(fields) {
  const { text: said, voice = "alloy", format, speed } = fields;
  const file = `speech.${format}`;
  const pace = speed === undefined ? {} : { speed };
  return {
    curl: `curl -s ${url(`${VOICE}/speak`)}${keyHeader()} \\\n  -H 'Content-Type: application/json' -o ${file} \\\n  -d ${shell(text(fields))}`,
    browser: browser(
      "speak",
      `{
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(${text(fields)}),
}`,
      "const speech = URL.createObjectURL(await response.blob());\nawait new Audio(speech).play();",
    ),
    python: python(
      `client.audio.speech.create(\n    model="tts-1", voice=${text(voice)}, input=${text(said)}${options({ response_format: format, ...pace })}\n).write_to_file(${text(file)})`,
    ),
  };
}

const options = (given) =>
  Object.entries(given)
    .map(([key, value]) => `, ${key}=${text(value)}`)
    .join("");

function python(call) {
  const key = hasKey() ? 'os.environ["API_KEY"]' : '"unused"';
  return `# pip install openai\n${hasKey() ? "import os\n" : ""}from openai import OpenAI\n\nclient = OpenAI(
    base_url=${text(url("v1"))},
    api_key=${key},
)\n${call}`;
}

// In a page, which must not have the key of a service that asks for one.
function browser(task, request, use) {
  const where = hasKey()
    ? `// Put no API key into a page: everybody can read it there.
// /voice is your own server. It checks who asks, adds
// "Authorization: Bearer $API_KEY", and passes this on.
const url = ${text(`/voice/${task}`)};`
    : `// For a page of another origin, start the service with
// CORS_ORIGINS=https://that.origin. Put no API key into a
// page: everybody can read it there. Let the page call
// your own server, and let that server add the key.
const url = ${text(url(`${VOICE}/${task}`))};`;
  return `${where}
const response = await fetch(url, ${request});
if (!response.ok) throw new Error(await response.text());
${use}`;
}

// Put them into *place*, each with a button that copies it.
export function show(place, { curl, python, browser }) {
  const first = snippet("The same with curl", curl);
  first.open = true;
  place.replaceChildren(first, snippet("The same in Python", python), snippet("The same in a browser", browser));
  place.hidden = false;
}

function snippet(title, code) {
  const copied = element("button", {
    type: "button",
    className: "quiet",
    textContent: "Copy",
    onclick: () => copy(code, copied),
  });
  copied.setAttribute("aria-label", `Copy: ${title}`);
  const head = element("summary", { textContent: title });
  return element(
    "details",
    {},
    head,
    element("div", { className: "code" }, element("pre", { textContent: code }), copied),
  );
}

export async function copy(code, button) {
  try {
    await navigator.clipboard.writeText(code);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed here"; // without https, browsers keep pages from the clipboard
  }
}
