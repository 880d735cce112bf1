package process

// Mounts describes the mount namespace of a function's process: the code at /var/task and the layers at /opt,
// both read-only, and an empty /tmp of limited size.
type Mounts struct {
	Task, Opt string   // folders to mount; an empty Opt leaves /opt as it is
	Tmp       int32    // size of /tmp in MiB
	Keep      []string // paths in /tmp that stay visible, read-only
	Scratch   string   // an empty folder to build the mounts in; it stays empty for other processes
}
