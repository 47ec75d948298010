// A client of the streaming server as kubelet and kubectl are one, for tests: client-go's own remotecommand and
// portforward over SPDY. Usage: exec URL stdin,stdout,stderr,tty PROTOCOL [RESIZES] | portforward URL PORT
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"
)

// sizes is a terminal that is resized as fast as anybody asks.
type sizes struct{ width, count uint16 }

func (s *sizes) Next() *remotecommand.TerminalSize {
	if s.width == s.count {
		return nil
	}
	s.width++
	return &remotecommand.TerminalSize{Width: s.width, Height: 24}
}

func fail(err error) {
	fmt.Fprintf(os.Stderr, "client: %v\n", err)
	os.Exit(125)
}

func run(transport http.RoundTripper, upgrader spdy.Upgrader, target *url.URL) error {
	executor, err := remotecommand.NewSPDYExecutorForProtocols(transport, upgrader, "POST", target, os.Args[4])
	if err != nil {
		return err
	}
	options := remotecommand.StreamOptions{}
	for _, name := range strings.Split(os.Args[3], ",") {
		switch name {
		case "stdin":
			options.Stdin = os.Stdin
		case "stdout":
			options.Stdout = os.Stdout
		case "stderr":
			options.Stderr = os.Stderr
		case "tty":
			options.Tty = true
		}
	}
	if len(os.Args) > 5 {
		count, err := strconv.ParseUint(os.Args[5], 10, 16)
		if err != nil {
			return err
		}
		options.TerminalSizeQueue = &sizes{count: uint16(count)}
	}
	return executor.StreamWithContext(context.Background(), options)
}

// forward ends with its standard input.
func forward(transport http.RoundTripper, upgrader spdy.Upgrader, target *url.URL) error {
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, "POST", target)
	stop := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(stop)
	}()
	ports := []string{":" + os.Args[3]}
	addresses := []string{"127.0.0.1"}
	forwarder, err := portforward.NewOnAddresses(dialer, addresses, ports, stop, nil, os.Stdout, os.Stderr)
	if err != nil {
		return err
	}
	return forwarder.ForwardPorts()
}

func main() {
	target, err := url.Parse(os.Args[2])
	if err != nil {
		fail(err)
	}
	transport, upgrader, err := spdy.RoundTripperFor(&rest.Config{})
	if err != nil {
		fail(err)
	}
	if os.Args[1] == "portforward" {
		err = forward(transport, upgrader, target)
	} else {
		err = run(transport, upgrader, target)
	}
	var exit exec.CodeExitError
	if errors.As(err, &exit) {
		os.Exit(exit.Code)
	}
	if err != nil {
		fail(err)
	}
}
