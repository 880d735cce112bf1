package doctor

import _ "embed"

// Schema is the JSON Schema of a [Diagnosis] (https://json-schema.org/draft/2020-12).
//
//go:embed schema.json
var Schema string
