// The microphone: a recording in whatever this browser records, and how loud it is meanwhile.

const TYPES = ["audio/webm;codecs=opus", "audio/mp4", "audio/ogg;codecs=opus"]; // Chrome and Firefox, Safari, old Firefox
const WHY_NOT = {
  NotAllowedError: "The microphone was not allowed; allow it in the browser's settings of this page, or choose a file.",
  NotFoundError: "There is no microphone; choose a file.",
  NotReadableError: "Another program has the microphone; choose a file.",
};

// Begin to record; *hear* is given the loudness (0 to 1) and the seconds so far. `stream` is the microphone, `stop()` the
// recording.
export async function record(hear) {
  if (!navigator.mediaDevices)
    throw new Error("Browsers give the microphone to https and localhost only; choose a file.");
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true }).catch((error) => {
    throw new Error(WHY_NOT[error.name] ?? error.message);
  });
  const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type));
  const recorder = new MediaRecorder(stream, { mimeType });
  const parts = [];
  recorder.ondataavailable = (event) => parts.push(event.data);
  const began = performance.now();
  recorder.start();
  const loudness = listen(stream);
  const timer = setInterval(() => hear(loudness.now(), (performance.now() - began) / 1000), 100);
  return {
    stream,
    stop: () =>
      new Promise((resolve) => {
        recorder.onstop = () => {
          clearInterval(timer);
          loudness.close();
          stream.getTracks().forEach((track) => track.stop()); // the browser's sign that it listens goes out
          const type = recorder.mimeType.split(";")[0];
          resolve({
            blob: new Blob(parts, { type }),
            name: `recording.${type.split("/")[1]}`,
            seconds: (performance.now() - began) / 1000,
          });
        };
        recorder.stop();
      }),
  };
}

function listen(stream) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  const samples = new Float32Array(analyser.fftSize);
  context.createMediaStreamSource(stream).connect(analyser);
  return {
    now() {
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, one) => sum + one * one, 0) / samples.length;
      return Math.min(1, Math.max(0, 1 + Math.log10(power + 1e-9) / 5)); // -50 dB to full scale
    },
    close: () => context.close(),
  };
}
