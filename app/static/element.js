// Elements: found by id, and made.

export const byId = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// What is said to the person who did something; *kind* "error" stands out.
export function say(place, text, kind = "") {
  place.textContent = text;
  place.dataset.kind = kind;
}

// 1234567 bytes as a person reads them.
export function size(bytes) {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

// 3725.2 seconds as 1:02:05.
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const parts = [Math.floor(whole / 60) % 60, String(whole % 60).padStart(2, "0")];
  return whole < 3600
    ? parts.join(":")
    : [Math.floor(whole / 3600), String(parts[0]).padStart(2, "0"), parts[1]].join(":");
}
