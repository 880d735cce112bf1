// A notes API in memory with Express, as its documentation shows.
const express = require("express");
const { randomUUID } = require("crypto");

const app = express();
const notes = new Map();
const all = []; // oldest first
app.use(express.json());

app.post("/notes", (req, res) => {
  const { title, content = "", tags = [] } = req.body;
  if (typeof title !== "string" || title === "") return res.status(400).json({ error: "title is required" });
  const now = new Date().toISOString();
  const note = { id: randomUUID(), title, content, tags, created_at: now, updated_at: now, version: 1 };
  notes.set(note.id, note);
  all.push(note);
  res.status(201).location(`/notes/${note.id}`).json(note);
});

app.get("/notes/:id", (req, res) => {
  const note = notes.get(req.params.id);
  note ? res.json(note) : res.status(404).json({ error: "not found" });
});

app.get("/notes", (req, res) => res.json({ notes: all.slice(-20).reverse() }));

app.listen(Number(process.argv[2]), "127.0.0.1");
