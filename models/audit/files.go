package audit

import (
	"guichet/models/database"
	"guichet/models/files"
	"guichet/models/id"
)

// checkFiles checks that the tables of files agree with each other, by themselves: how much users have is what their files have, and no two files of a room have one
// name, which the database sees to if each is stored by the key that its name has.
func checkFiles(tx database.Tx) ([]*Check, error) {
	names, usage := &Check{Name: "file_names_unique"}, &Check{Name: "file_usage_equals_files"}
	sums := map[id.ID]int64{}
	for f, err := range fileRows(tx) {
		if err != nil {
			return nil, err
		}
		sums[f.UserID] += f.Size
		names.Checked++
		name, key, err := files.Name(f.Name)
		if err != nil || name != f.Name || key != f.Key {
			names.find("file %s is called %q and stored by %q; the name %q has the key %q (%v)", f.ID, f.Name, f.Key, name, key, err)
		}
		if f.Size < 0 {
			usage.find("file %s has %d bytes", f.ID, f.Size)
		}
	}
	for u, err := range usageRows(tx) {
		if err != nil {
			return nil, err
		}
		usage.Checked++
		if sum := sums[u.UserID]; u.Bytes != sum {
			usage.find("user %s has %d bytes of files; by the files, %d", u.UserID, u.Bytes, sum)
		}
		delete(sums, u.UserID)
	}
	for _, user := range id.Keys(sums) {
		usage.find("user %s has files of %d bytes, and how much they have is missing", user, sums[user])
	}
	return []*Check{names, usage}, nil
}
