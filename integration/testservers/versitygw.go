package testservers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// The S3 server of the tests. scripts/install-test-tools.sh names the same version.
const (
	versityGW        = "versitygw"
	versityGWPackage = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"
)

// VersityGW is a running S3 server that keeps its objects as plain files.
type VersityGW struct {
	*Process
	// Address is host:port, spoken to by http.
	Address string
	// AccessKeyID and SecretAccessKey are those of its root user. The secret holds what URLs and signatures stumble over.
	AccessKeyID, SecretAccessKey string
	Region                       string

	dir string
}

// StartVersityGW starts an S3 server with the buckets. It is killed when the test ends.
func StartVersityGW(tb testing.TB, buckets ...string) *VersityGW {
	tb.Helper()
	path, err := findVersityGW()
	if err != nil {
		tb.Fatal(err)
	}
	s := &VersityGW{
		AccessKeyID: "test+key", SecretAccessKey: "se/cr+et:w%th@all=", Region: "us-east-1",
		dir: tb.TempDir(),
	}
	for _, bucket := range buckets {
		s.CreateBucket(tb, bucket)
	}
	sidecar := tb.TempDir() // For metadata, since not every file system has extended attributes.
	for attempt := 1; ; attempt++ {
		s.Address = FreeAddress(tb)
		s.Process = startProcess(tb, path, []string{"ROOT_ACCESS_KEY=" + s.AccessKeyID, "ROOT_SECRET_KEY=" + s.SecretAccessKey},
			"--port", s.Address, "--health", "/health", "--quiet", "--region", s.Region, "posix", "--sidecar", sidecar, s.dir)
		if err = s.waitReady("http://" + s.Address + "/health"); err == nil {
			return s
		}
		s.Kill()
		if attempt == 3 {
			tb.Fatal(err)
		}
	}
}

// CreateBucket makes a bucket, which is a folder to the server.
func (s *VersityGW) CreateBucket(tb testing.TB, name string) {
	tb.Helper()
	if err := os.Mkdir(filepath.Join(s.dir, name), 0o755); err != nil {
		tb.Fatalf("cannot create bucket: %v", err)
	}
}

// URL returns the bucket's URL as it stands in a configuration file, with the secret as it is.
func (s *VersityGW) URL(bucket string) string {
	return fmt.Sprintf("s3://%s:%s@%s/%s", s.AccessKeyID, s.SecretAccessKey, s.Address, bucket)
}

// findVersityGW returns the program's path: in the checkout's bin, in PATH, or in bin once more after installing it.
var findVersityGW = sync.OnceValues(func() (string, error) {
	root, err := repositoryRoot()
	if err != nil {
		return "", fmt.Errorf("cannot look for %s: %w", versityGW, err)
	}
	bin := filepath.Join(root, "bin")
	installed := filepath.Join(bin, versityGW)
	if _, err := os.Stat(installed); err == nil {
		return installed, nil
	}
	if path, err := exec.LookPath(versityGW); err == nil {
		return path, nil
	}
	if err := goInstall(bin, versityGW, versityGWPackage); err != nil {
		return "", fmt.Errorf("cannot install %s: %w", versityGW, err)
	}
	return installed, nil
})

// goInstall installs a program into a folder of its own first, so that tests of several packages may do it at once.
func goInstall(bin, name, pkg string) error {
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(bin, ".install-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	cmd := exec.Command("go", "install", pkg)
	cmd.Env = append(os.Environ(), "GOBIN="+temp, "GOFLAGS=", "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go install %s: %w\n%s", pkg, err, output)
	}
	return os.Rename(filepath.Join(temp, name), filepath.Join(bin, name))
}

// Folder returns where the server keeps a bucket's objects, as plain files under their keys.
func (s *VersityGW) Folder(bucket string) string { return filepath.Join(s.dir, bucket) }

// Fill puts all files of a folder into a bucket as somebody else's objects: without any metadata.
func (s *VersityGW) Fill(tb testing.TB, bucket, folder string) {
	tb.Helper()
	if err := os.CopyFS(s.Folder(bucket), os.DirFS(folder)); err != nil {
		tb.Fatalf("cannot fill bucket %s: %v", bucket, err)
	}
}
