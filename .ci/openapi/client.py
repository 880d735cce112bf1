"""Creates, reads, changes and deletes a note with the client that openapi-python-client generates."""

import sys

from notes_client import Client
from notes_client.api.notes import patch_note, create_note, delete_note, get_note, list_notes
from notes_client.models import NoteDraft, NotePatch

client = Client(base_url=sys.argv[1])
made = create_note.sync(client=client, body=NoteDraft(title="From Python", tags=["generated"]))
assert made.title == "From Python" and made.version == 1, made
assert get_note.sync(made.id, client=client).id == made.id
changed = patch_note.sync(made.id, client=client, body=NotePatch(content="changed"), if_match='"1"')
assert changed.content == "changed" and changed.version == 2, changed
assert [n.id for n in list_notes.sync(client=client, tag=["generated"]).notes] == [made.id]
assert delete_note.sync_detailed(made.id, client=client).status_code == 204
assert get_note.sync_detailed(made.id, client=client).status_code == 404
