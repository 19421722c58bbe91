// HTTP on Go's net/http; http_session.h has the routes. Before its answer begins, net/http has to
// have all of a body, so an echo is read first. What it frames as chunks is its own choice: small
// writes are gathered, up to 2 KiB.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

const (
	chunksMax     = 1000000
	chunkBytesMax = 1 << 20
	readBuffer    = 64 * 1024
)

var filler = bytes.Repeat([]byte("x"), chunkBytesMax)
var helloWorld = []byte("Hello, World!")

var buffers = sync.Pool{New: func() any {
	buffer := make([]byte, readBuffer)
	return &buffer
}}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func is(w http.ResponseWriter, r *http.Request, method string) bool {
	if r.Method != method {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return false
	}
	return true
}

func sendText(w http.ResponseWriter, text []byte) {
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.Write(text)
}

func hello(w http.ResponseWriter, r *http.Request) {
	if is(w, r, http.MethodGet) {
		sendText(w, helloWorld)
	}
}

func echo(w http.ResponseWriter, r *http.Request) {
	if !is(w, r, http.MethodPost) {
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if r.ContentLength < 0 {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			w.Header().Set("Transfer-Encoding", "chunked")
			w.Write(body)
		}
		return
	}
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err == nil {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.Write(body)
	}
}

func upload(w http.ResponseWriter, r *http.Request) {
	if !is(w, r, http.MethodPost) {
		return
	}
	// io.Discard by itself would read into 8 KiB.
	buffer := buffers.Get().(*[]byte)
	size, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, *buffer)
	buffers.Put(buffer)
	if err == nil {
		sendText(w, strconv.AppendInt(nil, size, 10))
	}
}

func number(query url.Values, name string, otherwise int) int {
	text := query.Get(name)
	if text == "" {
		return otherwise
	}
	value, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return value
}

func chunked(w http.ResponseWriter, r *http.Request) {
	if !is(w, r, http.MethodGet) {
		return
	}
	query := r.URL.Query()
	count, size := number(query, "n", 10), number(query, "size", 1024)
	if count < 0 || count > chunksMax || size < 1 || size > chunkBytesMax {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Transfer-Encoding", "chunked")
	for ; count > 0; count-- {
		if _, err := w.Write(filler[:size]); err != nil {
			return
		}
	}
}

func main() {
	port := flag.Int("port", 0, "of 127.0.0.1; 0: the kernel chooses")
	root := flag.String("root", "", "directory of the files of /static/")
	version := flag.Bool("version", false, "prints Go's and leaves")
	flag.Parse()
	name := strings.TrimPrefix(runtime.Version(), "go")
	if *version {
		fmt.Println(name)
		return
	}
	// The server has one core; more threads that run Go would only be in each other's way.
	runtime.GOMAXPROCS(1)
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", hello)
	mux.HandleFunc("/echo", echo)
	mux.HandleFunc("/upload", upload)
	mux.HandleFunc("/chunked", chunked)
	if *root != "" {
		mux.Handle("/static/", http.StripPrefix("/static/", http.FileServer(http.Dir(*root))))
	}
	listener, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", *port))
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
	fail(http.Serve(listener, mux))
}
