// In the audio thread: the microphone's samples, as 16-bit pieces of 50 ms.

registerProcessor(
  "samples",
  class extends AudioWorkletProcessor {
    #piece = new Int16Array(sampleRate / 20);
    #count = 0;

    process([[channel = []]]) {
      for (const value of channel) {
        this.#piece[this.#count++] = 32767 * Math.max(-1, Math.min(1, value));
        if (this.#count === this.#piece.length) {
          this.port.postMessage(this.#piece);
          this.#count = 0;
        }
      }
      return true;
    }
  },
);
