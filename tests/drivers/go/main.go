// Program drivers runs checked queries through one Go client library and prints one JSON line: see ../README.md.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
)

func main() {
	drivers := map[string]Driver{"libpq": libpq, "pgx4": pgx4, "pgx5": pgx5}
	driver, known := drivers[os.Getenv("DRIVER")]
	if !known {
		fmt.Fprintf(os.Stderr, "drivers: DRIVER is %q\n", os.Getenv("DRIVER"))
		os.Exit(2)
	}
	run := Run{
		Driver:      driver,
		URL:         os.Getenv("URL"),
		Setting:     os.Getenv("SETTING"),
		Connections: number("CONNECTIONS"),
		Queries:     number("QUERIES"),
		Seed:        number("SEED"),
	}
	if err := json.NewEncoder(os.Stdout).Encode(run.check()); err != nil {
		fmt.Fprintln(os.Stderr, "drivers:", err)
		os.Exit(1)
	}
}

func number(name string) int {
	value, err := strconv.Atoi(os.Getenv(name))
	if err != nil {
		fmt.Fprintf(os.Stderr, "drivers: %s: %v\n", name, err)
		os.Exit(2)
	}
	return value
}
