// Calls containerd's own tests of snapshotters, over a socket, on a snapshotter of a containerd that runs, or on a program
// that serves one. $CONTAINERD is the socket of the first, and $NAME the snapshotter's name. $SNAPSHOTTER is the program;
// each test gets one for itself, with a directory of its own and its socket in $SOCKETS.
package suite

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/snapshots"
	"github.com/containerd/containerd/snapshots/proxy"
	"github.com/containerd/containerd/snapshots/testsuite"
	"google.golang.org/grpc"
)

func TestSnapshotter(t *testing.T) {
	if socket := os.Getenv("CONTAINERD"); socket != "" {
		testsuite.SnapshotterSuite(t, os.Getenv("NAME"), func(context.Context, string) (snapshots.Snapshotter, func() error, error) {
			connection, err := dial(socket)
			if err != nil {
				return nil, nil, err
			}
			client := snapshotsapi.NewSnapshotsClient(connection)
			return proxy.NewSnapshotter(client, os.Getenv("NAME")), connection.Close, nil
		})
		return
	}
	// The tests run side by side.
	var number int32
	testsuite.SnapshotterSuite(t, "sealpack", func(ctx context.Context, root string) (snapshots.Snapshotter, func() error, error) {
		socket := fmt.Sprint(atomic.AddInt32(&number, 1))
		return start(filepath.Join(os.Getenv("SOCKETS"), socket), filepath.Join(root, "store"))
	})
}

func start(socket, store string) (snapshots.Snapshotter, func() error, error) {
	program := exec.Command(os.Getenv("SNAPSHOTTER"), "--socket", socket, "--store", store)
	program.Stdout, program.Stderr = os.Stderr, os.Stderr
	program.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := program.Start(); err != nil {
		return nil, nil, err
	}
	stop := func() error {
		if err := program.Process.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		return program.Wait()
	}
	connection, err := dial(socket)
	if err != nil {
		return nil, nil, fmt.Errorf("%v, %v", err, stop())
	}
	snapshotter := proxy.NewSnapshotter(snapshotsapi.NewSnapshotsClient(connection), "sealpack")
	return snapshotter, func() error {
		if err := connection.Close(); err != nil {
			return err
		}
		return stop()
	}, nil
}

func dial(socket string) (*grpc.ClientConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	connection, err := grpc.DialContext(ctx, "unix://"+socket, grpc.WithInsecure(), grpc.WithBlock())
	if err != nil {
		return nil, fmt.Errorf("no answer on %s: %v", socket, err)
	}
	return connection, nil
}
