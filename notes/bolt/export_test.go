package bolt

// Seal returns a record's value with its checksum.
func Seal(key, payload string) []byte { return seal([]byte(key), []byte(payload)) }

// IsolatedVar is the environment variable that is set in a process of its own for a test that might crash it.
const IsolatedVar = "NOTES_TEST_ALONE"
