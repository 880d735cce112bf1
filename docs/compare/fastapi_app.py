# A notes API in memory with FastAPI, as its documentation shows.
from datetime import datetime, timezone
from itertools import islice
from uuid import UUID, uuid4

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field


class Draft(BaseModel):
    title: str = Field(min_length=1, max_length=200)
    content: str = ""
    tags: list[str] = []


class Note(Draft):
    id: UUID
    created_at: datetime
    updated_at: datetime
    version: int = 1


class Page(BaseModel):
    notes: list[Note]


app = FastAPI()
notes: dict[UUID, Note] = {}


@app.post("/notes", status_code=201)
async def create(draft: Draft) -> Note:
    now = datetime.now(timezone.utc)
    note = Note(id=uuid4(), created_at=now, updated_at=now, **draft.model_dump())
    notes[note.id] = note
    return note


@app.get("/notes/{id}")
async def get(id: UUID) -> Note:
    if id not in notes:
        raise HTTPException(404)
    return notes[id]


@app.get("/notes")
async def newest() -> Page:
    return Page(notes=list(islice(reversed(notes.values()), 20)))
