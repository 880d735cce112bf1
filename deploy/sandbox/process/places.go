package process

// Places are where a function's process sees its files, in a mount namespace of its own: the code at /var/task and the
// layers at /opt, both read-only, and a /tmp that is empty at first and limited.
type Places struct {
	Task, Opt string   // folders; no Opt leaves /opt as it is
	Tmp       int32    // MB
	Keep      []string // folders under /tmp that are seen there as well
	Stage     string   // an empty folder, which stays empty for all others
}
