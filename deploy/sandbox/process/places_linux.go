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
	"strconv"
	"strings"
	"syscall"
)

// placesVariable makes a program that has this package a helper, which enters the places that it names and becomes the
// program of its arguments.
const placesVariable = "PORTABLE_NOTES_SANDBOX_PLACES"

func init() {
	if text, ok := os.LookupEnv(placesVariable); ok {
		err := enter(text)
		fmt.Fprint(os.NewFile(3, "report"), told(err))
		os.Exit(1)
	}
}

// told is an error as the other process reads it: a number for one of the system, which it gives back as it is.
func told(err error) string {
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		return strconv.Itoa(int(errno))
	}
	return err.Error()
}

// Start starts a command that sees the places, in /var/task. It returns the error of what cannot be run as
// [exec.Cmd.Start] does, and any other where this system does not let a process have places of its own.
func (p *Places) Start(cmd *exec.Cmd) error {
	text, err := json.Marshal(p)
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
	cmd.Env = append(cmd.Env, placesVariable+"="+string(text))
	cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	if uid := os.Geteuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
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

// enter becomes the program of the arguments in its places.
func enter(text string) error {
	syscall.CloseOnExec(3)
	var p Places
	err := json.Unmarshal([]byte(text), &p)
	if err == nil {
		err = p.mount()
	}
	if err == nil {
		err = os.Unsetenv(placesVariable)
	}
	if err == nil {
		err = os.Chdir("/var/task")
	}
	if err != nil {
		return fmt.Errorf("no places: %v", err)
	}
	return syscall.Exec(os.Args[1], os.Args[1:], os.Environ()) // #nosec G204 G702 -- the function
}

// mount makes the places. /var and /tmp are made beside what they replace, which they are partly made of.
func (p *Places) mount() error {
	above, tmp := filepath.Join(p.Stage, "var"), filepath.Join(p.Stage, "tmp")
	steps := []func() error{
		func() error { return syscall.Mount("tmpfs", p.Stage, "tmpfs", 0, "mode=755") },
		func() error { return mirror("/var", above) },
		func() error { return bindReadOnly(p.Task, filepath.Join(above, "task")) },
		func() error { return os.Mkdir(tmp, 0o700) },
		func() error { return syscall.Mount("tmpfs", tmp, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=1777", p.Tmp)) },
	}
	if p.Opt != "" {
		steps = append(steps, func() error { return bindReadOnly(p.Opt, "/opt") })
	}
	for _, folder := range p.Keep {
		if rest, ok := strings.CutPrefix(folder, "/tmp/"); ok {
			steps = append(steps, func() error { return bind(folder, filepath.Join(tmp, rest), 0) })
		}
	}
	steps = append(steps,
		func() error { return bind(above, "/var", syscall.MS_REC) },
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

func bind(from, to string, more uintptr) error {
	if err := os.MkdirAll(to, 0o755); err != nil { // #nosec G301 -- what it stands for has its own mode
		return err
	}
	return os.NewSyscallError("mount "+to, syscall.Mount(from, to, "", syscall.MS_BIND|more, ""))
}

// mountFlags are the flags of a mount, by their bits in statfs(2).
var mountFlags = map[int64]uintptr{0x2: syscall.MS_NOSUID, 0x4: syscall.MS_NODEV, 0x8: syscall.MS_NOEXEC,
	0x400: syscall.MS_NOATIME, 0x800: syscall.MS_NODIRATIME, 0x1000: syscall.MS_RELATIME}

func bindReadOnly(from, to string) error {
	err := bind(from, to, 0)
	var is syscall.Statfs_t
	if err == nil {
		err = syscall.Statfs(to, &is)
	}
	flags := uintptr(syscall.MS_BIND | syscall.MS_REMOUNT | syscall.MS_RDONLY)
	for bit, flag := range mountFlags { // a user namespace must keep those that the mount has
		if is.Flags&bit != 0 {
			flags |= flag
		}
	}
	if err == nil {
		err = syscall.Mount("", to, "", flags, "")
	}
	return os.NewSyscallError("mount "+to, err)
}
