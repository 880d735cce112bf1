package function

import (
	"cmp"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"example.com/portable-notes/deploy/sandbox/process"
)

// mountSupport remembers whether this machine lets a process have its own mounts.
type mountSupport struct {
	sync.Once
	folder string // to build the mounts in; "" if it does not
}

// mountFolder returns the folder to build a process's mounts in. If this machine does not allow such mounts it returns
// "" and logs the reason once.
func (r *Runner) mountFolder() string {
	r.mounts.Do(func() {
		folder := filepath.Join(r.host.Folder, "mounts")
		err := errors.Join(os.Mkdir(folder, 0o700), os.Mkdir(r.emptyFolder(), 0o700))
		if err == nil {
			cmd := exec.Command("/bin/sh", "-c", "exit 0")
			cmd.SysProcAttr = process.DieWithParent()
			if err = (&process.Mounts{Task: folder, Tmp: 1, Scratch: folder}).Start(cmd); err == nil {
				err = cmd.Wait()
			}
		}
		if err == nil {
			r.mounts.folder = folder
		} else if !NeedsDocker() {
			r.host.Log.Printf("functions do not see /var/task: this machine does not allow mount namespaces: %v",
				err)
		}
	})
	return r.mounts.folder
}

// emptyFolder is what a function without layers sees at /opt.
func (r *Runner) emptyFolder() string { return filepath.Join(r.host.Folder, "none") }

// startProcess starts a command of the function, whose code is in folder and whose layers are in opt. If this machine
// allows mounts, the command sees them at /var/task and /opt; otherwise LAMBDA_TASK_ROOT and SANDBOX_OPT name the
// folders.
func (e *environment) startProcess(cmd *exec.Cmd, folder, opt string) error {
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = folder, e.output, e.output, process.DieWithParent()
	scratch := e.pool.mountFolder()
	needed := append([]string{e.pool.host.Folder}, cmd.Args...)
	layers := cmp.Or(opt, e.pool.emptyFolder())
	hidden := isHidden(needed, layers)
	if scratch == "" || opt != "" && hidden {
		cmd.Env = e.variables(folder, opt)
		return cmd.Start()
	}
	if self, err := os.Executable(); err == nil {
		needed = append(needed, self) // the bootstraps of our tests start this program
	}
	p := process.Mounts{Task: folder, Opt: layers, Tmp: e.tmpSize(), Keep: tmpEntries(needed), Scratch: scratch}
	if hidden {
		p.Opt = ""
	}
	move := func(path string) string {
		if rest, ok := strings.CutPrefix(path, folder+"/"); ok {
			return "/var/task/" + rest
		}
		if rest, ok := strings.CutPrefix(path, opt+"/"); ok && opt != "" {
			return "/opt/" + rest
		}
		return path
	}
	cmd.Path = move(cmd.Path)
	for i, arg := range cmd.Args {
		cmd.Args[i] = move(arg)
	}
	if opt != "" {
		opt = "/opt"
	}
	cmd.Env = e.variables("/var/task", opt)
	return p.Start(cmd)
}

// tmpSize returns the size of the function's /tmp in MB: 512 unless configured ("Configure ephemeral storage").
func (e *environment) tmpSize() int32 {
	if s := e.pool.config.EphemeralStorage; s != nil && s.Size != nil {
		return *s.Size
	}
	return 512
}

// isHidden reports whether layers mounted at /opt would hide one of the paths. It is also true if /opt does not exist,
// so that nothing can be mounted there.
func isHidden(paths []string, opt string) bool {
	if _, err := os.Stat("/opt"); err != nil {
		return true
	}
	return slices.ContainsFunc(paths, func(path string) bool {
		target, err := filepath.EvalSymlinks(path)
		return strings.HasPrefix(path, "/opt/") && !strings.HasPrefix(path, opt+"/") ||
			err == nil && strings.HasPrefix(target, "/opt/") && !strings.HasPrefix(target, opt+"/")
	})
}

// tmpEntries returns the entries of /tmp that the paths lead through, each once.
func tmpEntries(paths []string) (all []string) {
	for _, path := range paths {
		if rest, ok := strings.CutPrefix(path, "/tmp/"); ok {
			first, _, _ := strings.Cut(rest, "/")
			if all = append(all, "/tmp/"+first); slices.Contains(all[:len(all)-1], "/tmp/"+first) {
				all = all[:len(all)-1]
			}
		}
	}
	return all
}
