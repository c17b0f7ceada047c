# The wheels and the model are made in the first stage; the second is what runs.
FROM python:3.11-slim AS build
WORKDIR /srv
RUN python -m venv /venv
COPY requirements.txt .
RUN /venv/bin/pip install --no-cache-dir -r requirements.txt
COPY app app
ARG WHISPER_MODEL=tiny.en
RUN WHISPER_MODEL=$WHISPER_MODEL /venv/bin/python -m app models fetch

FROM python:3.11-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends libespeak-ng1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --no-create-home voice
WORKDIR /srv
COPY --from=build /venv /venv
COPY --from=build /srv/models models
COPY app app
COPY wsgi.py gunicorn.conf.py ./
ENV PATH=/venv/bin:$PATH PYTHONOPTIMIZE=2 PYTHONUNBUFFERED=1
USER voice
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=3s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.getenv(\"PORT\", \"8000\")}/health')"]
CMD ["gunicorn", "wsgi:app"]
