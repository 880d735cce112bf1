package bolt

// Seal makes a record as the store does.
func Seal(key, payload string) []byte { return seal([]byte(key), []byte(payload)) }

// Alone is the variable that has this program run one test that may end it.
const Alone = "NOTES_TEST_ALONE"
