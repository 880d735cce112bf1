package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
)

// setupVariable holds a setup as JSON. A program that links this package and finds the variable in its environment
// makes the mounts and then executes its arguments.
const setupVariable = "PORTABLE_NOTES_SANDBOX_MOUNTS"

// setup is the task of the program that makes the mounts.
type setup struct {
	Mounts
	Env []string // environment of the program to execute
}

func init() {
	if text, ok := os.LookupEnv(setupVariable); ok {
		runtime.LockOSThread() // enterNamespace drops the capabilities of this thread alone
		fmt.Fprint(os.NewFile(3, "report"), encodeError(enterNamespace(text)))
		os.Exit(1)
	}
}

// encodeError encodes err for the parent: the number of a system error, or else the text.
func encodeError(err error) string {
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		return strconv.Itoa(int(errno))
	}
	return err.Error()
}

// Start starts cmd in the mount namespace that p describes, with /var/task as its working directory. If the program
// cannot be executed, Start returns an [fs.PathError], as [exec.Cmd.Start] does. Any other error means that this system
// does not allow the namespace.
func (p *Mounts) Start(cmd *exec.Cmd) error {
	text, err := json.Marshal(setup{*p, cmd.Env})
	if err != nil {
		return err
	}
	in, out, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	path := cmd.Path
	cmd.Args = append([]string{"sandbox", path}, cmd.Args[1:]...)
	cmd.Path, cmd.ExtraFiles = "/proc/self/exe", []*os.File{out}
	cmd.Env = []string{setupVariable + "=" + string(text)} // the function's own environment is inside the setup
	cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags, cmd.SysProcAttr.AmbientCaps = syscall.CLONE_NEWUSER, []uintptr{capSysAdmin}
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
	}
	err = cmd.Start()
	_ = out.Close()
	if err != nil {
		return err
	}
	report, err := io.ReadAll(in)
	if err == nil && len(report) == 0 {
		return nil // the descriptor closed when the program was executed
	}
	_ = cmd.Wait()
	if errno, err := strconv.Atoi(string(report)); err == nil {
		return &fs.PathError{Op: "fork/exec", Path: path, Err: syscall.Errno(errno)}
	}
	return errors.Join(errors.New(string(report)), err)
}

// Constants of capabilities(7) and prctl(2).
const (
	capSysAdmin  = 21
	capAmbient   = 47 // PR_CAP_AMBIENT
	ambientClear = 4  // PR_CAP_AMBIENT_CLEAR_ALL
)

// enterNamespace makes the mounts and executes the arguments. It returns only if that fails.
func enterNamespace(text string) error {
	syscall.CloseOnExec(3)
	var e setup
	err := json.Unmarshal([]byte(text), &e)
	if err == nil {
		err = e.mount()
	}
	if err == nil {
		err = os.Chdir("/var/task")
	}
	if err != nil {
		return fmt.Errorf("%v", err) // not %w: the parent takes the number of a system error for exec's
	}
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, capAmbient, ambientClear, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("prctl: %v", errno)
	}
	return syscall.Exec(os.Args[1], os.Args[1:], e.Env) // #nosec G204 G702 -- the function's own program
}

// mount makes the mounts. It builds the new /var and /tmp in the scratch folder first, because they show parts of the
// old ones.
func (p *Mounts) mount() error {
	newVar, tmp := filepath.Join(p.Scratch, "var"), filepath.Join(p.Scratch, "tmp")
	steps := []func() error{
		func() error { return syscall.Mount("tmpfs", p.Scratch, "tmpfs", 0, "mode=755,size=1m") },
		func() error { return mirror("/var", newVar) },
		func() error { return bindReadOnly(p.Task, filepath.Join(newVar, "task")) },
		func() error { return os.Mkdir(tmp, 0o700) },
		func() error { return syscall.Mount("tmpfs", tmp, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=1777", p.Tmp)) },
	}
	if p.Opt != "" {
		steps = append(steps, func() error { return bindReadOnly(p.Opt, "/opt") })
	}
	for _, path := range p.Keep {
		steps = append(steps, func() error { return bindReadOnly(path, filepath.Join(tmp, path[len("/tmp"):])) })
	}
	steps = append(steps,
		func() error { return bind(newVar, "/var", syscall.MS_REC) },
		func() error { return bind(tmp, "/tmp", syscall.MS_REC) })
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// mirror makes the folder to, which shows the folders and links in from, and which entries can be added to.
func mirror(from, to string) error {
	entries, err := os.ReadDir(from)
	if err == nil {
		err = os.Mkdir(to, 0o755) // #nosec G301 -- the mode of /var
	}
	for _, entry := range entries {
		from, to := filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())
		switch {
		case err != nil || entry.Name() == "task":
		case entry.IsDir():
			err = bind(from, to, syscall.MS_REC)
		case entry.Type()&fs.ModeSymlink != 0:
			var target string
			if target, err = os.Readlink(from); err == nil {
				err = os.Symlink(target, to)
			}
		}
	}
	return err
}

// bind mounts a file or a folder at another path, and makes that path if needed.
func bind(from, to string, flags uintptr) error {
	info, err := os.Stat(from)
	if err == nil && info.IsDir() {
		err = os.MkdirAll(to, 0o755) // #nosec G301 -- the mount brings its own mode
	} else if err == nil {
		err = os.WriteFile(to, nil, 0o600)
	}
	if err != nil {
		return err
	}
	return os.NewSyscallError("mount "+to, syscall.Mount(from, to, "", syscall.MS_BIND|flags, ""))
}

// mountFlagBits maps the bits of statfs(2) to the flags of mount(2).
var mountFlagBits = map[int64]uintptr{0x2: syscall.MS_NOSUID, 0x4: syscall.MS_NODEV, 0x8: syscall.MS_NOEXEC,
	0x400: syscall.MS_NOATIME, 0x800: syscall.MS_NODIRATIME, 0x1000: syscall.MS_RELATIME}

func bindReadOnly(from, to string) error {
	err := bind(from, to, 0)
	var stat syscall.Statfs_t
	if err == nil {
		err = syscall.Statfs(to, &stat)
	}
	flags := uintptr(syscall.MS_BIND | syscall.MS_REMOUNT | syscall.MS_RDONLY)
	for bit, flag := range mountFlagBits { // in a user namespace a remount must keep them
		if int64(stat.Flags)&bit != 0 { // int32 on some architectures
			flags |= flag
		}
	}
	if err == nil {
		err = syscall.Mount("", to, "", flags, "")
	}
	return os.NewSyscallError("mount "+to, err)
}
