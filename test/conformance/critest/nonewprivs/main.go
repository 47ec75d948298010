// Prints its effective user: of the image that the specs of no_new_privs run, where it lies with the setuid bit.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Printf("Effective uid: %d\n", os.Geteuid())
}
