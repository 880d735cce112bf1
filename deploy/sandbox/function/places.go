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

// mounts remembers whether this machine can give a process its own mounts.
type mounts struct {
	sync.Once
	scratch string // folder to build them in; "" where it cannot
}

// scratch is the folder to build a process's mounts in; "" where this machine can give it none, which is said once.
func (r *Runner) scratch() string {
	r.mounts.Do(func() {
		folder := filepath.Join(r.host.Folder, "mounts")
		err := errors.Join(os.Mkdir(folder, 0o700), os.Mkdir(r.none(), 0o700))
		if err == nil {
			cmd := exec.Command("/bin/sh", "-c", "exit 0")
			cmd.SysProcAttr = process.DieWithParent()
			if err = (&process.Mounts{Task: folder, Tmp: 1, Scratch: folder}).Start(cmd); err == nil {
				err = cmd.Wait()
			}
		}
		if err == nil {
			r.mounts.scratch = folder
		} else if !NeedsDocker() {
			r.host.Log.Printf("functions do not see /var/task: this machine gives a process no mounts of its own: %v",
				err)
		}
	})
	return r.mounts.scratch
}

// none is an empty folder, which is what a function without layers sees at /opt.
func (r *Runner) none() string { return filepath.Join(r.host.Folder, "none") }

// startProcess starts a command of the function, whose files are in folder and opt. It sees them at /var/task and /opt
// where this machine allows that. Elsewhere LAMBDA_TASK_ROOT and SANDBOX_OPT name the folders.
func (e *environment) startProcess(cmd *exec.Cmd, folder, opt string) error {
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = folder, e.say, e.say, process.DieWithParent()
	scratch := e.pool.scratch()
	needed := append([]string{e.pool.host.Folder}, cmd.Args...)
	layers := cmp.Or(opt, e.pool.none())
	hidden := hides(needed, layers)
	if scratch == "" || opt != "" && hidden {
		cmd.Env = e.variables(folder, opt)
		return cmd.Start()
	}
	if self, err := os.Executable(); err == nil {
		needed = append(needed, self) // which a bootstrap may start, as those of tests do
	}
	p := process.Mounts{Task: folder, Opt: layers, Tmp: e.tmp(), Keep: inTmp(needed), Scratch: scratch}
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

// tmp is the size of the function's /tmp in MB: 512 unless it is configured ("Configure ephemeral storage").
func (e *environment) tmp() int32 {
	if s := e.pool.config.EphemeralStorage; s != nil && s.Size != nil {
		return *s.Size
	}
	return 512
}

// hides reports whether layers at /opt would hide one of some paths, or cannot be there because there is no /opt.
func hides(paths []string, opt string) bool {
	if _, err := os.Stat("/opt"); err != nil {
		return true
	}
	return slices.ContainsFunc(paths, func(path string) bool {
		real, err := filepath.EvalSymlinks(path)
		return strings.HasPrefix(path, "/opt/") && !strings.HasPrefix(path, opt+"/") ||
			err == nil && strings.HasPrefix(real, "/opt/") && !strings.HasPrefix(real, opt+"/")
	})
}

// inTmp are the files and folders directly in /tmp that some paths lead through.
func inTmp(paths []string) (all []string) {
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
