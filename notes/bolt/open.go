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

// format is the version of what this package writes into the file. A file of a newer one is refused.
const format = 1

// lockWait is how long Open waits for another process to let go of the file: long enough for one that is just stopping.
const lockWait = 500 * time.Millisecond

// Open opens the notes file at path, or creates it where there is none (but not its folder). The log tells of damaged
// records that a list leaves out. Every error names the file, what is wrong with it and what to do.
//
// Open reads the whole file once, to see that its pages hang together: about 1 s for each GB that is not in memory.
func Open(path string, log *slog.Logger, options ...Option) (*Store, error) {
	if err := regular(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, refusal(path, err)
		}
	} else if err != nil {
		return nil, refusal(path, err)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, refusal(path, err)
	}
	var db *bbolt.DB
	var file *os.File
	err = guard(func() (err error) {
		db, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout:      lockWait,
			FreelistType: bbolt.FreelistMapType,
			NoStatistics: true,
			OpenFile: func(path string, flag int, mode os.FileMode) (_ *os.File, err error) {
				if file != nil { // it is locked already: this is for a backup
					return os.OpenFile(path, flag, mode) // #nosec G304 -- the file that the operator names
				}
				if file, err = openLocked(path, flag&^os.O_CREATE, mode); err != nil {
					return nil, err
				}
				if err = verify(file, func(finding error) {
					log.Warn("notes file "+path+": -check tells more",
						"finding", finding)
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
			_ = file.Close() // in case bbolt fell over and left it open, and the lock with it
		}
		return nil, refusal(path, err)
	}
	removeLeftovers(absolute, log)
	s := &Store{
		db:      db,
		file:    file,
		path:    absolute,
		log:     log,
		died:    make(chan struct{}),
		queue:   make(chan *write, maxBatch),
		closing: make(chan struct{}),
		closed:  make(chan struct{}),
		commits: func(int) {},
	}
	for _, option := range options {
		option(s)
	}
	go s.commitLoop()
	return s, nil
}

// Option changes a store that is being opened.
type Option func(*Store)

// Commits is told of each commit to the file: of how many writers it made durable at once.
func Commits(report func(writers int)) Option { return func(s *Store) { s.commits = report } }

// regular tells why the file at path cannot be one of ours before it is opened: to open another kind may hang.
func regular(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errNoFile
	}
	return err
}

// verify looks a locked file through before bbolt maps it. It warns of what harms nobody further.
func verify(file *os.File, warn func(error)) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Size() == 0 {
		return errEmpty
	}
	var damage error
	version := errNoNotes
	err = walk(file, info.Size(),
		func(format string, args ...any) {
			// A lost page harms nothing by itself, and a damaged meta page is what a power cut in the middle of a
			// commit leaves.
			if err := fmt.Errorf(format, args...); errors.Is(err, errLost) || errors.Is(err, errOneMeta) {
				warn(err)
			} else if damage == nil {
				damage = err
			}
		},
		func(bucket string, key, value []byte) {
			if bucket == string(metaBucket) && string(key) == string(formatKey) {
				version = checkFormat(value)
			}
		})
	switch {
	case err != nil:
		return err
	case damage != nil:
		return fmt.Errorf("%w: %w", errBroken, damage)
	}
	return version
}

var (
	errEmpty = errors.New("the file is empty. If it never held notes, remove it and a new one is made; else " +
		"restore a copy")
	errBroken = errors.New("the file is damaged")
	errInUse  = errors.New("another process has the file open. Stop that one, or give this one a file of its own " +
		"(NOTES_STORE=bolt:OTHER.db)")
	errNoFile  = fmt.Errorf("%w: it is no regular file", errForeign)
	errNoNotes = fmt.Errorf("%w: it is a bbolt file of another program", errForeign)
)

// checkFormat reads the version that a file's first record names.
func checkFormat(value []byte) error {
	payload, err := unseal(formatKey, value)
	if err != nil {
		return fmt.Errorf("%w: the record of its format: %w", errBroken, err)
	}
	if v, err := strconv.Atoi(string(payload)); err != nil || v != format {
		return fmt.Errorf("the file has format %s, this program reads format %d: use the release that wrote it, or "+
			"a newer one", payload, format)
	}
	return nil
}

// refusal words an error of Open for the person who has to do something about it.
func refusal(path string, err error) error {
	dir := filepath.Dir(path)
	_, dirErr := os.Stat(dir)
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		err = errInUse
	case errors.Is(err, fs.ErrNotExist) && dirErr != nil:
		err = fmt.Errorf("the folder %s does not exist: create it, or name another file (NOTES_STORE=bolt:FILE)", dir)
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%w: no file can be made in %s, name another (NOTES_STORE=bolt:FILE)", err, dir)
	case errors.Is(err, fs.ErrPermission):
		err = fmt.Errorf("%w: give this user the right to read and write the file, and to create files in %s", err, dir)
	case errors.Is(err, errForeign):
		err = fmt.Errorf("%w. Name another file (NOTES_STORE=bolt:FILE); this one was not touched", err)
	case errors.Is(err, errBroken):
		err = fmt.Errorf("%w. Run -check on it to see all that is wrong, and restore a copy; it was not touched", err)
	}
	return fmt.Errorf("notes file %s: %w", path, err)
}

// create makes a new file under another name and gives it its own when it is complete and on the disk, so that a start
// that is cut short leaves no half file. Of two that create at once, the second finds the first one's file.
func create(path string) error {
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
	// A link, unlike a rename, never takes the place of a file that is there. Not every file system has links.
	err = os.Link(temp.Name(), path)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) {
		err = os.Rename(temp.Name(), path)
	}
	if _, other := os.Stat(path); err != nil && other != nil {
		return err
	} // else the file is another's who was faster, and who may have removed ours as a leftover
	return syncDir(dir)
}

func initialize(tx *bbolt.Tx) error {
	for _, name := range [][]byte{metaBucket, notesBucket, keysBucket, expiryBucket} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	b := tx.Bucket(metaBucket)
	if err := b.Put(formatKey, seal(formatKey, []byte(strconv.Itoa(format)))); err != nil {
		return err
	}
	return b.Put(countsKey, encodeCounts(countsKey, counts{}))
}

// syncDir makes a new name in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir) // #nosec G304 -- the folder of the file that the operator names
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
