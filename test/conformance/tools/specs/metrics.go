// The two specs of the metrics of pods that critest has since v1.37, which no release of the module holds: specs.go.
// This file goes when the pinned module has them.

package specs

import (
	"context"
	_ "embed"
	"os"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	internalapi "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"sigs.k8s.io/cri-tools/pkg/framework"
)

// A name a line: those that kubelet 1.37 serves at /metrics/cadvisor.
//
//go:embed metric-names.txt
var nameLines string

var metricNames = strings.Fields(nameLines)

// A file that the container writes, so that its own layer holds something.
const write = "mkdir -p /var/lib/written && echo something > /var/lib/written/file && sync"

var _ = framework.KubeDescribe("PodSandbox", func() {
	f := framework.NewDefaultCRIFramework()

	Context("runtime should support metrics operations", func() {
		It("runtime should support returning metrics descriptors [Conformance]", func(ctx SpecContext) {
			described := describe(ctx, f.CRIClient.CRIRuntimeClient)
			for name, descriptor := range described {
				Expect(descriptor.GetHelp()).NotTo(BeEmpty(), "%s has no meaning", name)
				Expect(descriptor.GetLabelKeys()).NotTo(BeEmpty(), "%s has no labels", name)
			}
			missing := slices.DeleteFunc(slices.Clone(metricNames), func(name string) bool {
				return described[name] != nil
			})
			Expect(missing).To(BeEmpty(), "nothing describes these")
		})

		It("runtime should support listing pod sandbox metrics [Conformance]", func(ctx SpecContext) {
			s := runSandbox(ctx, f.CRIClient)
			image := framework.TestContext.TestImageList.DefaultTestContainerImage
			framework.PullPublicImage(ctx, s.images, image, s.config)
			container := s.start(ctx, &runtimeapi.ContainerConfig{
				Image: &runtimeapi.ImageSpec{Image: image, UserSpecifiedImage: image},
				Linux: &runtimeapi.LinuxContainerConfig{
					Resources: &runtimeapi.LinuxContainerResources{
						CpuPeriod:              100_000,
						CpuQuota:               50_000,
						CpuShares:              512,
						MemoryLimitInBytes:     32 << 20,
						MemorySwapLimitInBytes: 32 << 20,
					},
				},
			})
			s.exec(ctx, container, "sh", "-c", write)

			described := describe(ctx, s.runtime)
			all, err := s.runtime.ListPodSandboxMetrics(ctx)
			framework.ExpectNoError(err)
			there := map[string]bool{}
			for _, metric := range metricsOf(all, s.id, container) {
				name := metric.GetName()
				there[name] = true
				Expect(described).To(HaveKey(name), "a value that nothing describes")
				Expect(metric.GetLabelValues()).To(HaveLen(len(described[name].GetLabelKeys())), "labels of %s", name)
				Expect(metric.GetValue()).NotTo(BeNil(), name)
			}
			missing := slices.DeleteFunc(slices.Clone(metricNames), func(name string) bool {
				return there[name] || mayBeWithoutValue(name)
			})
			Expect(missing).To(BeEmpty(), "these have no value")
		})
	})
})

// describe gives the descriptors by their names, of which none may stand twice.
func describe(ctx context.Context, client internalapi.RuntimeService) map[string]*runtimeapi.MetricDescriptor {
	GinkgoHelper()
	descriptors, err := client.ListMetricDescriptors(ctx)
	framework.ExpectNoError(err)
	described := map[string]*runtimeapi.MetricDescriptor{}
	for _, descriptor := range descriptors {
		Expect(described).NotTo(HaveKey(descriptor.GetName()))
		described[descriptor.GetName()] = descriptor
	}
	return described
}

// metricsOf gives those of the pod itself and those of its container, which have to be there.
func metricsOf(all []*runtimeapi.PodSandboxMetrics, pod, container string) []*runtimeapi.Metric {
	GinkgoHelper()
	ofPod := slices.IndexFunc(all, func(one *runtimeapi.PodSandboxMetrics) bool { return one.GetPodSandboxId() == pod })
	Expect(ofPod).NotTo(Equal(-1), "no metrics of pod %s", pod)
	containers := all[ofPod].GetContainerMetrics()
	ofContainer := slices.IndexFunc(containers, func(one *runtimeapi.ContainerMetrics) bool {
		return one.GetContainerId() == container
	})
	Expect(ofContainer).NotTo(Equal(-1), "no metrics of container %s", container)
	return slices.Concat(all[ofPod].GetMetrics(), containers[ofContainer].GetMetrics())
}

// mayBeWithoutValue knows what the node may not tell: devices that account for nobody, pressure, huge pages.
func mayBeWithoutValue(name string) bool {
	begins := func(beginnings ...string) bool {
		return slices.ContainsFunc(beginnings, func(one string) bool { return strings.HasPrefix(name, one) })
	}
	unified := exists("/sys/fs/cgroup/cgroup.controllers")
	return begins("container_blkio_", "container_fs_reads_", "container_fs_writes_") ||
		begins("container_pressure_") && !(unified && exists("/proc/pressure")) ||
		begins("container_hugetlb_") && !unified && !exists("/sys/fs/cgroup/hugetlb/cgroup.procs")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
