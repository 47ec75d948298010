// The five specs of image volumes that critest has since v1.37, which no release of the module holds: specs.go.
// This file goes when the pinned module has them.

package specs

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	crierrors "k8s.io/cri-api/pkg/errors"
	"sigs.k8s.io/cri-tools/pkg/framework"
)

const (
	// critest's other specs have these images too. Each holds a shell; the second has a user in its /etc/passwd.
	tagged    = "gcr.io/k8s-staging-cri-tools/test-image-tag:test"
	withUsers = "gcr.io/k8s-staging-cri-tools/test-image-predefined-group:latest"
	itsUser   = "default-user"

	volumePath = "/mnt/image-volume"
)

var _ = framework.KubeDescribe("Image Volume [Feature:ImageVolume]", func() {
	f := framework.NewDefaultCRIFramework()

	// pulled makes a pod and has the image on the node; what kubelet names it by from then on.
	pulled := func(ctx context.Context, name string) (*sandbox, *runtimeapi.ImageSpec) {
		s := runSandbox(ctx, f.CRIClient)
		reference := framework.PullPublicImage(ctx, s.images, name, s.config)
		return s, &runtimeapi.ImageSpec{Image: reference, UserSpecifiedImage: name}
	}

	// with is a container of the image that has the same image as a volume.
	with := func(image *runtimeapi.ImageSpec, mount *runtimeapi.Mount) *runtimeapi.ContainerConfig {
		mount.ContainerPath = volumePath
		mount.Image = image
		return &runtimeapi.ContainerConfig{Image: image, Mounts: []*runtimeapi.Mount{mount}}
	}

	// expectRefusal wants the word by which kubelet tells such a failure from others, and nothing left of the container.
	expectRefusal := func(ctx context.Context, s *sandbox, config *runtimeapi.ContainerConfig) {
		GinkgoHelper()
		_, err := s.tryCreate(ctx, config)
		Expect(err).To(HaveOccurred(), "the container is created")
		Expect(err.Error()).To(ContainSubstring(crierrors.ErrImageVolumeMountFailed.Error()))
		left, err := s.runtime.ListContainers(ctx, &runtimeapi.ContainerFilter{PodSandboxId: s.id})
		framework.ExpectNoError(err)
		Expect(left).To(BeEmpty(), "the refused container is listed")
	}

	It("should return image digest in ContainerStatus mounts", func(ctx SpecContext) {
		s, image := pulled(ctx, tagged)
		container := s.create(ctx, with(image, &runtimeapi.Mount{Readonly: true}))

		answer, err := s.runtime.ContainerStatus(ctx, container, false)
		framework.ExpectNoError(err)
		var mount *runtimeapi.Mount
		for _, one := range answer.GetStatus().GetMounts() {
			if one.GetContainerPath() == volumePath {
				mount = one
			}
		}
		Expect(mount).NotTo(BeNil(), "the status has no mount at %s", volumePath)
		Expect(mount.GetReadonly()).To(BeTrue())
		Expect(mount.GetImage().GetImage()).To(Equal(image.GetImage()))
		Expect(mount.GetImage().GetImageRef()).To(Equal(image.GetImage()), "image_ref is what PullImage has answered")
	})

	It("should correctly mount image and enforce read-only", func(ctx SpecContext) {
		s, image := pulled(ctx, tagged)
		container := s.start(ctx, with(image, &runtimeapi.Mount{Readonly: true}))

		By("looking for what the image holds")
		s.exec(ctx, container, "test", "-x", volumePath+"/bin/sh")

		By("writing into it")
		refusal := s.execFails(ctx, container, "touch", volumePath+"/new")
		Expect(refusal).To(ContainSubstring("Read-only file system"))

		By("running a program of it")
		Expect(s.exec(ctx, container, volumePath+"/bin/ls", volumePath)).To(ContainSubstring("bin\n"))
	})

	It("should reject Image Volume with Readonly set to false", func(ctx SpecContext) {
		s, image := pulled(ctx, tagged)
		expectRefusal(ctx, s, with(image, &runtimeapi.Mount{Readonly: false}))
	})

	Context("subPath", func() {
		It("should succeed when using a valid subPath", func(ctx SpecContext) {
			s, image := pulled(ctx, withUsers)
			container := s.start(ctx, with(image, &runtimeapi.Mount{Readonly: true, ImageSubPath: "etc"}))

			By("looking for what the image holds below the sub path")
			Expect(s.exec(ctx, container, "cat", volumePath+"/passwd")).To(ContainSubstring(itsUser))

			By("looking for what it holds elsewhere")
			s.execFails(ctx, container, "ls", volumePath+"/etc/passwd")
		})

		It("should fail when subPath does not exist in the image", func(ctx SpecContext) {
			s, image := pulled(ctx, tagged)
			expectRefusal(ctx, s, with(image, &runtimeapi.Mount{Readonly: true, ImageSubPath: "not-existing"}))
		})
	})
})
