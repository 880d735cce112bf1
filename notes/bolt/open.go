package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// formatVersion is the version of the file's content. Open refuses any other.
const formatVersion = 1

// lockWait is how long Open waits for another process to release the file: long enough for one that is just stopping.
const lockWait = 500 * time.Millisecond

// Open opens the notes file at path, or creates it if it does not exist. It does not create its folder. The store logs
// damaged records that a list leaves out. Every error names the file, what is wrong with it and what to do.
//
// Open reads the whole file once to check its pages. This takes about 1 s for each GB that is not cached in memory.
func Open(path string, log *slog.Logger, options ...Option) (*Store, error) {
	if err := checkRegular(path); errors.Is(err, fs.ErrNotExist) {
		if err := createFile(path); err != nil {
			return nil, explain(path, err)
		}
	} else if err != nil {
		return nil, explain(path, err)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, explain(path, err)
	}
	var db *bbolt.DB
	var file *os.File
	err = guard(func() (err error) {
		db, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout:      lockWait,
			FreelistType: bbolt.FreelistMapType,
			NoStatistics: true,
			OpenFile: func(path string, flag int, mode os.FileMode) (_ *os.File, err error) {
				if file != nil { // already open and locked: this is for a backup
					return os.OpenFile(path, flag, mode) // #nosec G304 -- the file that the operator names
				}
				if file, err = openLocked(path, flag&^os.O_CREATE, mode); err != nil {
					return nil, err
				}
				if err = verify(file, func(finding error) {
					log.Warn("notes file "+path+": run -check for details", "finding", finding)
				}); err != nil {
					return nil, errors.Join(err, file.Close())
				}
				return file, nil
			},
		})
		return err
	})
	if err != nil {
		if db == nil && file != nil {
			_ = file.Close() // bbolt may have panicked and left the file open and locked
		}
		return nil, explain(path, err)
	}
	removeLeftovers(absolute, log)
	s := &Store{
		db:       db,
		file:     file,
		path:     absolute,
		log:      log,
		failed:   make(chan struct{}),
		queue:    make(chan *write, maxBatch),
		closing:  make(chan struct{}),
		closed:   make(chan struct{}),
		onCommit: func(int) {},
	}
	for _, option := range options {
		option(s)
	}
	go s.commitLoop()
	return s, nil
}

// Option changes a store that is being opened.
type Option func(*Store)

// Commits makes the store call report after each commit with the number of writers that shared it.
func Commits(report func(writers int)) Option { return func(s *Store) { s.onCommit = report } }

// checkRegular returns an error unless path is a regular file. Opening another kind of file might block.
func checkRegular(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errNotRegular
	}
	return err
}

// verify checks a locked file before bbolt maps it. It passes harmless damage to warn.
func verify(file *os.File, warn func(error)) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Size() == 0 {
		return errEmpty
	}
	var damage error
	formatErr := errOtherProgram
	err = walk(file, info.Size(),
		func(format string, args ...any) {
			// Orphaned pages do no harm, and a power cut during a commit leaves one damaged meta page.
			if err := fmt.Errorf(format, args...); errors.Is(err, errOrphans) || errors.Is(err, errOneMeta) {
				warn(err)
			} else if damage == nil {
				damage = err
			}
		},
		func(bucket string, key, value []byte) {
			if bucket == string(metaBucket) && string(key) == string(formatKey) {
				formatErr = checkFormat(value)
			}
		})
	switch {
	case err != nil:
		return err
	case damage != nil:
		return fmt.Errorf("%w: %w", errBroken, damage)
	}
	return formatErr
}

var (
	errEmpty = errors.New("the file is empty: if it never held notes, remove it and a new one is created; otherwise " +
		"restore a copy")
	errBroken = errors.New("the file is damaged")
	errInUse  = errors.New("another process has the file open: stop that process, or give this one its own file " +
		"(NOTES_STORE=bolt:OTHER.db)")
	errNotRegular   = fmt.Errorf("%w: it is not a regular file", errForeign)
	errOtherProgram = fmt.Errorf("%w: it is a bbolt file of another program", errForeign)
)

// checkFormat returns an error unless the value of the format record is formatVersion.
func checkFormat(value []byte) error {
	payload, err := unseal(formatKey, value)
	if err != nil {
		return fmt.Errorf("%w: the format record: %w", errBroken, err)
	}
	if v, err := strconv.Atoi(string(payload)); err != nil || v != formatVersion {
		return fmt.Errorf("the file has format %s, this program reads format %d: use the release that wrote it, or "+
			"a newer one", payload, formatVersion)
	}
	return nil
}

// explain adds to an error of Open what the operator can do about it.
func explain(path string, err error) error {
	dir := filepath.Dir(path)
	_, dirErr := os.Stat(dir)
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		err = errInUse
	case errors.Is(err, fs.ErrNotExist) && dirErr != nil:
		err = fmt.Errorf("the folder %s does not exist: create it, or name another file (NOTES_STORE=bolt:FILE)", dir)
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%w: cannot create a file in %s, name another file (NOTES_STORE=bolt:FILE)", err, dir)
	case errors.Is(err, fs.ErrPermission):
		err = fmt.Errorf("%w: give this user the right to read and write the file, and to create files in %s", err, dir)
	case errors.Is(err, errForeign):
		err = fmt.Errorf("%w; name another file (NOTES_STORE=bolt:FILE), this one was not changed", err)
	case errors.Is(err, errBroken):
		err = fmt.Errorf("%w; run -check on it to list all damage, then restore a copy, or copy what can be read "+
			"with deploy copy --salvage (it was not changed)", err)
	}
	return fmt.Errorf("notes file %s: %w", path, err)
}

// createFile creates a new notes file. It writes the file under a temporary name and gives it its real name only when
// it is complete and on the disk, so that an interrupted start leaves no partial file. If two processes do this at the
// same time, the slower one uses the file of the faster one.
func createFile(path string) error {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	temp, err := os.CreateTemp(dir, newPrefix(base)+"*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	if err := temp.Close(); err != nil {
		return err
	}
	db, err := bbolt.Open(temp.Name(), 0o600, &bbolt.Options{PageSize: pageSize, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	if err := errors.Join(db.Update(initialize), db.Close()); err != nil {
		return err
	}
	// Unlike a rename, a link never replaces an existing file. Not every file system has links.
	err = os.Link(temp.Name(), path)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) {
		err = os.Rename(temp.Name(), path)
	}
	// If the file exists, another process was faster. It may even have removed our temporary file as a leftover.
	if _, statErr := os.Stat(path); err != nil && statErr != nil {
		return err
	}
	return syncDir(dir)
}

func initialize(tx *bbolt.Tx) error {
	for _, name := range [][]byte{metaBucket, notesBucket, keysBucket, expiryBucket} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	b := tx.Bucket(metaBucket)
	if err := b.Put(formatKey, seal(formatKey, []byte(strconv.Itoa(formatVersion)))); err != nil {
		return err
	}
	return b.Put(countsKey, encodeCounts(countsKey, counts{}))
}

// syncDir makes new names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir) // #nosec G304 -- the folder of the file that the operator names
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
