// A transcript as a file: plain text, SubRip or WebVTT, with cues of at most two lines of 42 characters.

const LINE = 42;
const CUE = 2 * LINE - 6; // what breaks into two lines wherever its words end

export const FORMATS = {
  txt: { type: "text/plain", write: (segments) => `${segments.map((one) => one.text).join(" ")}\n` },
  srt: {
    type: "application/x-subrip",
    write: (segments) =>
      cues(segments)
        .map(
          (cue, index) =>
            `${index + 1}\n${time(cue.start, ",")} --> ${time(cue.end, ",")}\n${lines(cue.text).replace(/--+>/g, "->")}\n\n`,
        )
        .join(""),
  },
  vtt: {
    type: "text/vtt",
    write: (segments) =>
      `WEBVTT\n\n${cues(segments)
        .map((cue) => `${time(cue.start, ".")} --> ${time(cue.end, ".")}\n${escaped(lines(cue.text))}\n\n`)
        .join("")}`,
  },
};

// Each segment in pieces that fit a screen, each with its share of the time by its letters.
export function cues(segments) {
  return segments.flatMap(({ start, end, text }) => {
    const pieces = cut(text, CUE);
    const letters = pieces.reduce((sum, piece) => sum + piece.length, 0);
    let said = 0;
    return pieces.map((piece) => {
      const begins = start + ((end - start) * said) / letters;
      said += piece.length;
      return { start: begins, end: start + ((end - start) * said) / letters, text: piece };
    });
  });
}

// *text* in about equal pieces of at most *most* characters, cut between words; words that are longer are cut, too.
function cut(text, most) {
  const words = text.split(/\s+/).flatMap((word) => word.match(new RegExp(`.{1,${LINE}}`, "gu")) ?? []);
  const even = text.length / Math.ceil(text.length / most);
  const pieces = [];
  for (const word of words) {
    const last = pieces.at(-1);
    if (last && last.length < even && last.length + 1 + word.length <= most)
      pieces[pieces.length - 1] = `${last} ${word}`;
    else pieces.push(word);
  }
  return pieces;
}

function lines(text) {
  if (text.length <= LINE) return text;
  const spaces = [...text.matchAll(/ /g)].map((found) => found.index);
  const middle = spaces.sort((one, other) => Math.abs(one - text.length / 2) - Math.abs(other - text.length / 2))[0];
  return middle === undefined ? text : `${text.slice(0, middle)}\n${text.slice(middle + 1)}`;
}

function time(seconds, point) {
  return new Date(Math.round(seconds * 1000)).toISOString().slice(11, 23).replace(".", point); // a day at most
}

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
