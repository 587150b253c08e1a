package shipper

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"logstore/pkg/index"
	"logstore/pkg/schema"
)

// maxUploadWait bounds how long a stop waits for the bucket while there are others to whom index files can be handed over.
const maxUploadWait = 10 * time.Second

// Handed is an index file that its process cannot upload before it ends. Another one does that.
type Handed struct {
	// Table and Name say what it is; the name is one of a kind.
	Table, Name string
	// Object is the file as it would stand in the bucket.
	Object []byte
}

// Append appends the file's bytes, as ParseHanded reads them: the lengths of table and name as uvarints, each before its text,
// and the object.
func (h Handed) Append(b []byte) []byte {
	for _, s := range []string{h.Table, h.Name} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return append(b, h.Object...)
}

// ParseHanded reads what Append wrote. The object is a part of b.
func ParseHanded(b []byte) (h Handed, err error) {
	for _, s := range []*string{&h.Table, &h.Name} {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return Handed{}, errors.New("cannot read an index file that is handed over: it is cut")
		}
		*s, b = string(b[size:size+int(n)]), b[size+int(n):]
	}
	h.Object = b
	return h, nil
}

// handOverRest gives the files that are not in the bucket to others, as far as these take them. What they took is theirs to upload.
func (s *Shipper) handOverRest(ctx context.Context) {
	done, left, begin := 0, 0, s.now()
	for _, f := range s.local.due(s.now(), true) {
		err := s.handOverFile(ctx, f)
		if err != nil {
			if left++; left == 1 {
				s.logger.Warn("cannot hand an index file over to another member", "table", f.table, "file", f.name, "err", err)
			}
			continue
		}
		s.local.uploadEnded(f, s.now(), nil)
		s.noteUploaded()
		done++
	}
	s.metrics.handedOver.Add(float64(done))
	s.metrics.pendingFiles.Set(float64(s.local.waiting()))
	s.logger.Info("handed over to other members what could not be uploaded", "files", done, "left", left, "duration", s.now().Sub(begin))
}

func (s *Shipper) handOverFile(ctx context.Context, f *localFile) error {
	object, err := f.pack()
	if err != nil {
		return err
	}
	name := strings.TrimSuffix(f.object().Name, ".gz")
	return s.handOver(ctx, Handed{Table: f.table, Name: name, Object: object})
}

// Accept takes a file over from a member that leaves. When it returns nil the file is on the disk and can be looked up; it is
// uploaded like an own one. To take the same file twice is harmless.
func (s *Shipper) Accept(h Handed) error {
	period, day, ok := s.periods.FindTable(h.Table)
	if !ok || s.periods[period].Store != schema.StoreBoltDB {
		return fmt.Errorf("cannot take over an index file of %q: it is no table of any period", h.Table)
	}
	if h.Name == "" || h.Name != filepath.Base(h.Name) || strings.HasPrefix(h.Name, ".") || len(h.Name) > 200 {
		return fmt.Errorf("cannot take over an index file: its name %.200q is no name", h.Name)
	}
	if err := s.begin(); err != nil {
		return err
	}
	defer s.work.Done()

	if s.local.has(h.Table, h.Name) {
		return nil
	}
	if err := s.makeFolder(h.Table); err != nil {
		return err
	}
	path := filepath.Join(s.cfg.ActiveIndexDirectory, h.Table, h.Name)
	temp, err := os.CreateTemp(filepath.Dir(path), h.Name+".*"+tempSuffix)
	if err != nil {
		return fmt.Errorf("cannot take over an index file: %w", err)
	}
	err = errors.Join(temp.Close(), index.Unpack(temp.Name(), bytes.NewReader(h.Object), true))
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cannot take over index file %s of table %s: %w", h.Name, h.Table, err), removeIfThere(temp.Name()))
	}
	f := newLocalFile(s, period, day, h.Table, h.Name)
	f.sets, f.sealed = nil, true
	f.setParts([]*part{{path: path}})
	s.local.add(f)
	s.metrics.pendingFiles.Set(float64(s.local.waiting()))
	s.logger.Info("took an index file over from a member that leaves", "table", h.Table, "file", h.Name, "bytes", len(h.Object))
	return nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// has reports whether there is a file of a name.
func (l *localFiles) has(table, name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.files {
		if f.table == table && f.name == name {
			return true
		}
	}
	return false
}
