// Package specs adds to critest the specs that its version 1.37 has and the pinned one has not: five of image volumes and
// two of the metrics of pods. They are written here, under their upstream names, because no later critest can be had as a
// Go module; a file of it goes when the pinned module has its specs. Where upstream skips a runtime that cannot do
// something, these fail.
package specs

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	internalapi "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"sigs.k8s.io/cri-tools/pkg/framework"
)

const execTimeout = 30 * time.Second

// sandbox is a pod that goes when its spec is done.
type sandbox struct {
	runtime internalapi.RuntimeService
	images  internalapi.ImageManagerService
	id      string
	config  *runtimeapi.PodSandboxConfig
}

func runSandbox(ctx context.Context, client *framework.InternalAPIClient) *sandbox {
	s := &sandbox{runtime: client.CRIRuntimeClient, images: client.CRIImageClient}
	s.id, s.config = framework.CreatePodSandboxForContainer(ctx, s.runtime)
	DeferCleanup(func(ctx SpecContext) {
		framework.ExpectNoError(s.runtime.StopPodSandbox(ctx, s.id))
		framework.ExpectNoError(s.runtime.RemovePodSandbox(ctx, s.id))
	})
	return s
}

// tryCreate leaves it to the caller whether an error is what is wanted.
func (s *sandbox) tryCreate(ctx context.Context, config *runtimeapi.ContainerConfig) (string, error) {
	config.Metadata = framework.BuildContainerMetadata("container-"+framework.NewUUID(), framework.DefaultAttempt)
	config.Command = framework.DefaultContainerCommand
	id, err := s.runtime.CreateContainer(ctx, s.id, config, s.config)
	if err == nil {
		DeferCleanup(func(ctx SpecContext) {
			framework.ExpectNoError(s.runtime.StopContainer(ctx, id, 0))
			framework.ExpectNoError(s.runtime.RemoveContainer(ctx, id))
		})
	}
	return id, err
}

func (s *sandbox) create(ctx context.Context, config *runtimeapi.ContainerConfig) string {
	GinkgoHelper()
	id, err := s.tryCreate(ctx, config)
	framework.ExpectNoError(err, "the container is not created")
	return id
}

func (s *sandbox) start(ctx context.Context, config *runtimeapi.ContainerConfig) string {
	GinkgoHelper()
	id := s.create(ctx, config)
	framework.ExpectNoError(s.runtime.StartContainer(ctx, id), "the container does not start")
	return id
}

// exec wants the command to succeed; its output.
func (s *sandbox) exec(ctx context.Context, container string, command ...string) string {
	GinkgoHelper()
	stdout, stderr, err := s.runtime.ExecSync(ctx, container, command, execTimeout)
	framework.ExpectNoError(err, "%q: %s", command, stderr)
	return string(stdout)
}

// execFails wants the command to fail; what it says of it.
func (s *sandbox) execFails(ctx context.Context, container string, command ...string) string {
	GinkgoHelper()
	stdout, stderr, err := s.runtime.ExecSync(ctx, container, command, execTimeout)
	Expect(err).To(HaveOccurred(), "%q does not fail: %s", command, stdout)
	return string(stderr)
}
