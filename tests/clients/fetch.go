// SPDX-License-Identifier: Apache-2.0

// Prints what Go's net/http gets from a URL, through the proxy of the environment.
package main

import (
	"io"
	"net/http"
	"os"
)

func main() {
	answer, err := http.Get(os.Args[1])
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	io.Copy(os.Stdout, answer.Body)
}
