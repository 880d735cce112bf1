package process

// Places describe the mount namespace that a function's process gets: its code at /var/task and its layers at /opt,
// both read-only, and an empty /tmp with a limit.
type Places struct {
	Task, Opt string   // folders; no Opt leaves /opt as it is
	Tmp       int32    // size of /tmp in MB
	Keep      []string // paths in /tmp that stay visible, read-only
	Scratch   string   // an empty folder to build the mounts in; other processes see it empty
}
