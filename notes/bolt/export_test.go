package bolt

// Seal makes a record as the store does.
func Seal(key, payload string) []byte { return seal([]byte(key), []byte(payload)) }
