package function

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"example.com/portable-notes/deploy/sandbox/process"
)

// places reports whether this machine lets a process see its files where Lambda has them. It is found out once.
type places struct {
	sync.Once
	stage string // "" for no
}

// stage is a folder to make places in; "" where this machine lets no process have its own.
func (r *Runner) stage() string {
	r.places.Do(func() {
		stage := filepath.Join(r.host.Folder, "places")
		if os.Mkdir(stage, 0o700) != nil {
			return
		}
		cmd := exec.Command("/bin/true")
		cmd.SysProcAttr = process.Mortal()
		if (&process.Places{Task: stage, Tmp: 1, Stage: stage}).Start(cmd) == nil && cmd.Wait() == nil {
			r.places.stage = stage
		}
	})
	return r.places.stage
}

// begin starts a command of the function, whose files are in folder and opt. It sees them at /var/task and /opt where
// this machine allows that, and else where its variables say.
func (e *environment) begin(cmd *exec.Cmd, folder, opt string) error {
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = folder, e.say, e.say, process.Mortal()
	stage := e.pool.stage()
	if stage == "" || opt != "" && !placeable(cmd.Path, opt) {
		cmd.Env = e.variables(folder, opt)
		return cmd.Start()
	}
	p := process.Places{Task: folder, Opt: opt, Tmp: e.tmp(), Stage: stage, Keep: []string{e.pool.host.Folder,
		filepath.Dir(cmd.Path)}}
	if self, err := os.Executable(); err == nil {
		p.Keep = append(p.Keep, filepath.Dir(self))
	}
	seen := strings.NewReplacer(folder+"/", "/var/task/", cmp.Or(opt, folder)+"/", "/opt/")
	cmd.Path = seen.Replace(cmd.Path)
	for i, arg := range cmd.Args {
		cmd.Args[i] = seen.Replace(arg)
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

// placeable reports whether /opt can be another folder: it is there, and the program does not lie in it.
func placeable(program, opt string) bool {
	_, err := os.Stat("/opt")
	return err == nil && (strings.HasPrefix(program, opt) || !strings.HasPrefix(program, "/opt/"))
}
