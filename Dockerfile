# The wheels and the models are made in the first stage; the second is what runs: about 830 MB with both inside: some
# 125 of the base, 578 of wheels, 123 of models (benchmarks/image.py measures all but the base, without Docker).
FROM python:3.11-slim AS build
WORKDIR /srv
RUN python -m venv /venv
COPY requirements.txt .
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check -r requirements.txt
COPY app app
COPY wsgi.py gunicorn.conf.py ./
ARG WHISPER_MODEL=tiny.en,base
RUN WHISPER_MODEL=$WHISPER_MODEL /venv/bin/python -m app models fetch
# Bytecode for both levels: the engines run without PYTHONOPTIMIZE, the web worker with it, and a user who may not
# write would compile what the server imports at every start.
RUN /venv/bin/python -m compileall -q app \
    && PYTHONOPTIMIZE=2 /venv/bin/python -c "import wsgi, gunicorn.app.wsgiapp, gunicorn.workers.gthread, app.jobs.fleet.queue, kombu.transport.redis" \
    && /venv/bin/pip uninstall --yes --quiet setuptools pip \
    && find /venv -type d -name tests -prune -exec rm -rf {} + \
    && rm -rf data cache

FROM python:3.11-slim
WORKDIR /srv
RUN useradd --system --user-group --no-create-home speech
COPY --from=build /venv /venv
COPY --from=build /srv ./
RUN install -d -o speech data cache
ENV PATH=/venv/bin:$PATH PYTHONOPTIMIZE=2 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER speech
EXPOSE 8000
# A socket and no more: 10 ms and 9 MB every half minute, where urllib would take 80 ms and 25 MB.
HEALTHCHECK --interval=30s --timeout=3s --start-period=10s \
    CMD ["python", "-I", "-S", "-c", "import os, socket; s = socket.create_connection(('127.0.0.1', int(os.getenv('PORT', '8000'))), 2); s.sendall(b'GET /health/live HTTP/1.0\\r\\n\\r\\n'); raise SystemExit(b' 200 ' not in s.recv(64))"]
CMD ["gunicorn", "wsgi:app"]
