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

// placesVariable holds an entry as JSON. A program that links this package and is started with it makes the mounts and
// then executes its arguments.
const placesVariable = "PORTABLE_NOTES_SANDBOX_PLACES"

// entry is what the program that makes the mounts is told.
type entry struct {
	Places
	Env []string // of the program that it executes
}

func init() {
	if text, ok := os.LookupEnv(placesVariable); ok {
		runtime.LockOSThread() // whose capabilities are given up
		fmt.Fprint(os.NewFile(3, "report"), encodeError(enter(text)))
		os.Exit(1)
	}
}

// encodeError returns err for the parent to read: the number of a system error, else its text.
func encodeError(err error) string {
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		return strconv.Itoa(int(errno))
	}
	return err.Error()
}

// Start starts cmd in the mount namespace that p describes, with /var/task as its working directory. A program that
// cannot be executed is an [fs.PathError], as from [exec.Cmd.Start]; any other error means that this system does not
// allow the namespace.
func (p *Places) Start(cmd *exec.Cmd) error {
	text, err := json.Marshal(entry{*p, cmd.Env})
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
	cmd.Env = []string{placesVariable + "=" + string(text)} // the function's own is for the function alone
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
		return nil // it became the program
	}
	_ = cmd.Wait()
	if errno, number := strconv.Atoi(string(report)); number == nil {
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

// enter makes the mounts and executes the arguments.
func enter(text string) error {
	syscall.CloseOnExec(3)
	var e entry
	err := json.Unmarshal([]byte(text), &e)
	if err == nil {
		err = e.mount()
	}
	if err == nil {
		err = os.Chdir("/var/task")
	}
	if err != nil {
		return fmt.Errorf("%v", err) // the number of a system error would be taken for one of the program
	}
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, capAmbient, ambientClear, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("prctl: %v", errno)
	}
	return syscall.Exec(os.Args[1], os.Args[1:], e.Env) // #nosec G204 G702 -- the function
}

// mount makes the mounts. The new /var and /tmp are built in the scratch folder first, because they contain parts of
// the old ones.
func (p *Places) mount() error {
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

// mirror makes a folder that shows the folders and links of another one, to which more can be added.
func mirror(from, to string) error {
	entries, err := os.ReadDir(from)
	if err == nil {
		err = os.Mkdir(to, 0o755) // #nosec G301 -- as /var is
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

// bind shows a file or a folder at another path, which it makes if it is not there.
func bind(from, to string, flags uintptr) error {
	info, err := os.Stat(from)
	if err == nil && info.IsDir() {
		err = os.MkdirAll(to, 0o755) // #nosec G301 -- what it stands for has its own mode
	} else if err == nil {
		err = os.WriteFile(to, nil, 0o600)
	}
	if err != nil {
		return err
	}
	return os.NewSyscallError("mount "+to, syscall.Mount(from, to, "", syscall.MS_BIND|flags, ""))
}

// mountFlags are the flags of a mount, by their bits in statfs(2).
var mountFlags = map[int64]uintptr{0x2: syscall.MS_NOSUID, 0x4: syscall.MS_NODEV, 0x8: syscall.MS_NOEXEC,
	0x400: syscall.MS_NOATIME, 0x800: syscall.MS_NODIRATIME, 0x1000: syscall.MS_RELATIME}

func bindReadOnly(from, to string) error {
	err := bind(from, to, 0)
	var stat syscall.Statfs_t
	if err == nil {
		err = syscall.Statfs(to, &stat)
	}
	flags := uintptr(syscall.MS_BIND | syscall.MS_REMOUNT | syscall.MS_RDONLY)
	for bit, flag := range mountFlags { // a user namespace must keep those that the mount has
		if int64(stat.Flags)&bit != 0 { // int32 on some processors
			flags |= flag
		}
	}
	if err == nil {
		err = syscall.Mount("", to, "", flags, "")
	}
	return os.NewSyscallError("mount "+to, err)
}
