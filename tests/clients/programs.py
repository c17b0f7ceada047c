"""
`python programs.py NAME URL KEY PCM`: a client of somebody else's hears the file PCM (24 kHz, 16 bits, mono) said to
the service at URL, and what it made of each turn is printed as JSON. Run with the clients of `requirements.txt`.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

RATE = 24_000
PIECE_SECONDS = 0.05
SILENCE_SECONDS = 1.5  # after what is said, for those who have the service find the end of a turn
PATIENCE_SECONDS = 150.0


async def spoken(pcm: bytes) -> AsyncIterator[bytes]:
    """*pcm* and the silence after it, in pieces as a microphone gives them."""
    size = round(RATE * PIECE_SECONDS) * 2
    pcm += bytes(round(RATE * SILENCE_SECONDS) * 2)
    for start in range(0, len(pcm), size):
        yield pcm[start : start + size]
        await asyncio.sleep(PIECE_SECONDS)


async def agents(url: str, key: str, pcm: bytes) -> list[str]:
    """openai-agents, as its pipeline for voices does it: semantic_vad, then a commit and a clear."""
    import numpy as np
    from agents.voice import StreamedAudioInput, STTModelSettings
    from agents.voice.models.openai_stt import OpenAISTTModel
    from openai import AsyncOpenAI

    heard = StreamedAudioInput()
    model = OpenAISTTModel("gpt-4o-transcribe", AsyncOpenAI(base_url=url, api_key=key))
    session = await model.create_session(heard, STTModelSettings(), False, False)

    async def speak() -> None:
        async for piece in spoken(pcm):
            await heard.add_audio(np.frombuffer(piece, np.int16))
        await heard.add_audio(None)

    speaking = asyncio.create_task(speak())
    turns = [turn async for turn in session.transcribe_turns()]
    await speaking
    return turns


async def livekit(url: str, key: str, pcm: bytes, model: str = "gpt-4o-mini-transcribe") -> list[str]:
    """livekit's plugin: server_vad, its update sent before `session.created` is heard."""
    from livekit import rtc
    from livekit.agents.stt import SpeechEventType
    from livekit.agents.utils import http_context
    from livekit.plugins import openai

    turns = []
    async with http_context.open():
        recognizer = openai.STT(base_url=url, api_key=key, model=model, use_realtime=True)
        stream = recognizer.stream()

        async def listen() -> None:
            async for event in stream:
                if event.type == SpeechEventType.FINAL_TRANSCRIPT:
                    turns.append(event.alternatives[0].text)

        listening = asyncio.create_task(listen())
        async for piece in spoken(pcm):
            stream.push_frame(rtc.AudioFrame(piece, RATE, 1, len(piece) // 2))
        for _ in range(round(PATIENCE_SECONDS / PIECE_SECONDS)):
            if turns or listening.done():
                break
            await asyncio.sleep(PIECE_SECONDS)
        await stream.aclose()
        await listening
        await recognizer.aclose()
    return turns


async def livekit_commits(url: str, key: str, pcm: bytes) -> list[str]:
    """The same with a model for which it has its own detector, and commits by itself."""
    return await livekit(url, key, pcm, model="gpt-realtime-whisper")


async def pipecat(url: str, key: str, pcm: bytes) -> list[str]:
    """pipecat's service in a pipeline whose detector (here: the end of the file) has it commit."""
    from pipecat.frames.frames import (
        EndFrame,
        ErrorFrame,
        InputAudioRawFrame,
        TranscriptionFrame,
        VADUserStartedSpeakingFrame,
        VADUserStoppedSpeakingFrame,
    )
    from pipecat.pipeline.pipeline import Pipeline
    from pipecat.pipeline.worker import PipelineParams, PipelineWorker
    from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
    from pipecat.services.openai.stt import OpenAIRealtimeSTTService
    from pipecat.workers.runner import WorkerRunner

    turns = []
    came = asyncio.Event()

    class Sink(FrameProcessor):
        async def process_frame(self, frame, direction: FrameDirection) -> None:
            await super().process_frame(frame, direction)
            if isinstance(frame, TranscriptionFrame):
                turns.append(frame.text)
                came.set()
            await self.push_frame(frame, direction)

    service = OpenAIRealtimeSTTService(api_key=key, base_url=f"ws{url.removeprefix('http')}/realtime")
    worker = PipelineWorker(Pipeline([service, Sink()]), params=PipelineParams(audio_in_sample_rate=RATE))

    @worker.event_handler("on_pipeline_error")
    async def fail(_worker, frame: ErrorFrame) -> None:
        raise SystemExit(f"pipecat: {frame.error}")

    async def speak() -> None:
        while not service._session_ready:  # a microphone is slower than this, too
            await asyncio.sleep(PIECE_SECONDS)
        await worker.queue_frame(VADUserStartedSpeakingFrame())
        async for piece in spoken(pcm):
            await worker.queue_frame(InputAudioRawFrame(piece, RATE, 1))
        await worker.queue_frame(VADUserStoppedSpeakingFrame())
        await asyncio.wait_for(came.wait(), PATIENCE_SECONDS)
        await worker.queue_frame(EndFrame())

    runner = WorkerRunner()
    await runner.add_workers(worker)
    await asyncio.gather(runner.run(), speak())
    return turns


if __name__ == "__main__":
    name, url, key, file = sys.argv[1:]
    turns = asyncio.run(
        asyncio.wait_for(globals()[name](url, key, Path(file).read_bytes()), 2 * PATIENCE_SECONDS)
    )
    print(json.dumps(turns))
