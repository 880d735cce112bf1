// Creates, reads, changes and deletes a note with a client whose types openapi-typescript generates.
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const client = createClient<paths>({ baseUrl: process.argv[2] });

function check<T>(what: T | undefined, ok: (value: T) => boolean): T {
  if (what === undefined || !ok(what)) throw new Error(`unexpected: ${JSON.stringify(what)}`);
  return what;
}

const made = check((await client.POST("/notes", { body: { title: "From TypeScript", tags: ["typed"] } })).data,
  (note) => note.title === "From TypeScript" && note.version === 1);
const path = { id: made.id };
check((await client.GET("/notes/{id}", { params: { path } })).data, (note) => note.id === made.id);
check((await client.PATCH("/notes/{id}", {
  params: { path, header: { "If-Match": '"1"' } },
  body: { content: "changed" },
})).data, (note) => note.content === "changed" && note.version === 2);
check((await client.GET("/notes", { params: { query: { tag: ["typed"] } } })).data, (page) => page.notes.length === 1);
check((await client.DELETE("/notes/{id}", { params: { path } })).response, (r) => r.status === 204);
check((await client.GET("/notes/{id}", { params: { path } })).response, (r) => r.status === 404);
