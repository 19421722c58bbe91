// Echo on Go's net: a goroutine a connection.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
)

const readBuffer = 256 * 1024

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func echo(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, readBuffer)
	for {
		size, err := conn.Read(buffer)
		if size > 0 {
			if _, err := conn.Write(buffer[:size]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func main() {
	port := flag.Int("port", 0, "of 127.0.0.1; 0: the kernel chooses")
	path := flag.String("unix", "", "a Unix socket in its place")
	version := flag.Bool("version", false, "prints Go's and leaves")
	flag.Parse()
	name := strings.TrimPrefix(runtime.Version(), "go")
	if *version {
		fmt.Println(name)
		return
	}
	// The server has one core; more threads that run Go would only be in each other's way.
	runtime.GOMAXPROCS(1)
	// TCP_NODELAY is what Go sets by itself, and the backlog is the most that the kernel allows.
	network, address := "tcp4", fmt.Sprintf("127.0.0.1:%d", *port)
	if *path != "" {
		network, address = "unix", *path
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		fail(err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		os.Exit(0)
	}()
	fmt.Printf("listening on %s\nbackend go: %s\n", listener.Addr(), name)
	for {
		conn, err := listener.Accept()
		if err != nil {
			fail(err)
		}
		go echo(conn)
	}
}
