package testbed

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Programs are the paths of the servers' programs.
type Programs struct {
	MariaDB        string // mariadbd
	MariaDBInstall string // mariadb-install-db
	Redis          string // redis-server
}

// ErrNotInstalled says which servers are missing and how to install them.
var ErrNotInstalled = errors.New("testbed: not installed")

// sbin are directories that hold servers and are not in every user's PATH.
var sbin = []string{"/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/usr/local/bin", "/opt/homebrew/bin"}

// Find looks the programs up in PATH and where servers usually are. It fails with ErrNotInstalled.
func Find() (Programs, error) {
	programs := Programs{
		MariaDB:        find(isMariaDB, "mariadbd", "mysqld"),
		MariaDBInstall: find(nil, "mariadb-install-db", "mysql_install_db"),
		Redis:          find(nil, "redis-server"),
	}
	var missing []string
	if programs.MariaDB == "" || programs.MariaDBInstall == "" {
		missing = append(missing, "MariaDB")
	}
	if programs.Redis == "" {
		missing = append(missing, "Redis")
	}
	if len(missing) > 0 {
		return programs, fmt.Errorf("%w: %s. `make test` installs what is missing on Debian and Ubuntu, and so does: apt-get install %s",
			ErrNotInstalled, strings.Join(missing, " and "), strings.Join(packages, " "))
	}
	return programs, nil
}

// find returns the first program of one of the names that suits, or "".
func find(suits func(path string) bool, names ...string) string {
	for _, name := range names {
		candidates := []string{}
		if path, err := exec.LookPath(name); err == nil {
			candidates = append(candidates, path)
		}
		for _, dir := range sbin {
			candidates = append(candidates, filepath.Join(dir, name))
		}
		for _, path := range candidates {
			if isProgram(path) && (suits == nil || suits(path)) {
				return path
			}
		}
	}
	return ""
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// isMariaDB tells MariaDB's mysqld from MySQL's, which is initialised in another way. (Tests run on MySQL too: see MySQLDSNVariable.)
func isMariaDB(path string) bool {
	if filepath.Base(path) == "mariadbd" {
		return true
	}
	version, err := exec.Command(path, "--version").Output() //nolint:noctx // prints a line and ends
	return err == nil && strings.Contains(string(version), "MariaDB")
}
