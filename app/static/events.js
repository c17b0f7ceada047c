// Server-sent events of a response, as they come (https://html.spec.whatwg.org/multipage/server-sent-events.html).

// EventSource can only GET and sends no headers, so the stream of a POST is read here.
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        if (block === "data: [DONE]") return;
        if (block.startsWith("data: ")) yield JSON.parse(block.slice(6)); // else a comment that keeps the line open
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // who stopped it knows
  }
}
