// SPDX-License-Identifier: Apache-2.0

// Reads connections with Go's net/http server; see readers.py.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// A connection that has sent all it ever will.
type conn struct {
	stream  io.Reader
	answers strings.Builder
	once    sync.Once
	closed  chan struct{}
}

type address struct{}

func (address) Network() string { return "memory" }
func (address) String() string  { return "memory" }

func (c *conn) Read(b []byte) (int, error)       { return c.stream.Read(b) }
func (c *conn) Write(b []byte) (int, error)      { return c.answers.Write(b) }
func (c *conn) Close() error                     { c.once.Do(func() { close(c.closed) }); return nil }
func (c *conn) LocalAddr() net.Addr              { return address{} }
func (c *conn) RemoteAddr() net.Addr             { return address{} }
func (c *conn) SetDeadline(time.Time) error      { return nil }
func (c *conn) SetReadDeadline(time.Time) error  { return nil }
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

type listener chan *conn

func (l listener) Accept() (net.Conn, error) { return <-l, nil }
func (l listener) Close() error              { return nil }
func (l listener) Addr() net.Addr            { return address{} }

func main() {
	var seen [][]interface{}
	torn := false
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, err := io.ReadAll(r.Body)
		if err != nil {
			torn = true
			return
		}
		seen = append(seen, []interface{}{r.Method, r.RequestURI, len(content), crc32.ChecksumIEEE(content)})
	})
	l := make(listener)
	server := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	go server.Serve(l)

	in := bufio.NewReader(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for {
		var size uint32
		if binary.Read(in, binary.BigEndian, &size) != nil {
			return
		}
		stream := make([]byte, size)
		if _, err := io.ReadFull(in, stream); err != nil {
			return
		}
		seen, torn = [][]interface{}{}, false
		c := &conn{stream: strings.NewReader(string(stream)), closed: make(chan struct{})}
		l <- c
		<-c.closed
		end := "complete"
		if torn || strings.Contains(c.answers.String(), "HTTP/1.1 400") || strings.Contains(c.answers.String(), "HTTP/1.1 5") {
			end = "refused"
		}
		out.Encode([]interface{}{seen, end})
	}
}
