package audit

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"guichet/models/database"
	"guichet/models/files"
	"guichet/models/id"
)

func TestFilesHold(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		h.file()
		report, err := Run(t.Context(), h.db)
		must(t, err)
		if !report.Holds() {
			t.Errorf("findings against a true history:%s", findings(report.Checks))
		}
		checked := map[string]int64{}
		for _, c := range report.Checks {
			checked[c.Name] = c.Checked
		}
		if checked["file_names_unique"] != 4 || checked["file_usage_equals_files"] != 3 || checked["replay"] != 15 {
			t.Errorf("looked at %v", checked)
		}
	})
}

// TestFilesFindings falsifies the tables of files, one lie at a time, and expects just those checks to report it that can see it.
func TestFilesFindings(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		a := h.file()
		var lies []lie
		for column, value := range map[string]string{
			"user_id": "content", "username": "'bob'", "content_type": "'text/html'", "content": "user_id", "at_us": "at_us + 1", "lamport": "lamport - 1", "room_id": "user_id", "id": "content",
		} {
			seen := "replay"
			if column == "user_id" {
				seen = "file_usage_equals_files replay"
			}
			lies = append(lies, lie{"a file's " + column, seen, []statementOf{tell(fmt.Sprintf("UPDATE files SET %s = %s WHERE id = ?", column, value), a.hers)}})
		}
		expectFindings(t, h, append(lies,
			lie{"a file has another content", "replay", []statementOf{tell("UPDATE files SET sha256 = ? WHERE id = ?", make([]byte, 32), a.hers)}},
			lie{"a file is called something else", "file_names_unique replay", []statementOf{tell("UPDATE files SET name = 'his' WHERE id = ?", a.hers)}},
			lie{"a file is shown in another case", "replay", []statementOf{tell("UPDATE files SET name = 'HERS' WHERE id = ?", a.hers)}},
			lie{"a file is stored by another name", "file_names_unique replay", []statementOf{tell("UPDATE files SET name_key = 'his' WHERE id = ?", a.hers)}},
			lie{"a file has a name that none may have", "file_names_unique replay", []statementOf{tell("UPDATE files SET name = '../x', name_key = '../x' WHERE id = ?", a.hers)}},
			lie{"two files have one name", "file_names_unique replay", []statementOf{tell("UPDATE files SET name = 'Hers', name_key = 'Hers' WHERE id = ?", a.full)}},
			lie{"a file is larger", "file_usage_equals_files replay", []statementOf{tell("UPDATE files SET size = size + 1 WHERE id = ?", a.notes)}},
			lie{"a file has less than nothing", "file_usage_equals_files replay", []statementOf{tell("UPDATE files SET size = -1 WHERE id = ?", a.notes)}},
			lie{"a file is gone", "file_usage_equals_files replay", []statementOf{tell("DELETE FROM files WHERE id = ?", a.full)}},
			lie{"a file was never deleted", "replay", []statementOf{tell("UPDATE outcomes SET status = 'rejected', problem = 'unknown_file\n' WHERE operation_id = ?", a.deleting)}},
			lie{"a refusal was none", "replay", []statementOf{tell("UPDATE outcomes SET status = 'succeeded', problem = NULL WHERE operation_id = ?", a.refused)}},
			lie{"a refusal had another reason", "replay", []statementOf{tell("UPDATE outcomes SET problem = 'quota_exceeded\n' WHERE operation_id = ?", a.refused)}},
			lie{"a user has more", "file_usage_equals_files replay", []statementOf{tell("UPDATE file_usage SET bytes = bytes + 1 WHERE bytes = 7")}},
			lie{"a user has nothing", "file_usage_equals_files replay", []statementOf{tell("DELETE FROM file_usage WHERE bytes = 7")}},
			lie{"a user never had anything", "replay", []statementOf{tell("DELETE FROM file_usage WHERE bytes = 0")}},
			lie{"a usage's stamp is behind", "replay", []statementOf{tell("UPDATE file_usage SET lamport = lamport - 1 WHERE bytes = 7")}},
			lie{"the quota was smaller", "replay", []statementOf{tell(`UPDATE operations SET payload = REPLACE(payload, '"quota":100', '"quota":90') WHERE id = ?`, a.uploadedIn)}},
			lie{"a payload cannot be read", "replay", []statementOf{tell("UPDATE operations SET payload = '{' WHERE id = ?", a.uploadedIn)}},
		))
	})
}

// TestFilesLive audits a store while files are uploaded and deleted by processes that pass the lane on to each other.
func TestFilesLive(t *testing.T) {
	onBothStores(t, func(t *testing.T, h *house) {
		c := newCrowd(h)
		type there struct {
			owner, name string
			file        id.ID
		}
		var all []there
		users := []string{"ada", "eve", "bob"}
		c.audit(300, nothingElse, func(r *rand.Rand) {
			door := c.doors[r.IntN(2)]
			var commands []command
			var asked []there
			for range 1 + r.IntN(20) {
				user, one := users[r.IntN(3)], there{}
				if r.IntN(3) == 0 && len(all) > 0 {
					f := all[r.IntN(len(all))]
					commands = append(commands, door.deletion(user, f.owner, f.name, f.file, r.IntN(3) == 0))
				} else {
					one = there{owner: user, name: fmt.Sprintf("file %d", r.IntN(12))}
					commands = append(commands, door.upload(user, one.name, r.Int64N(60)))
				}
				asked = append(asked, one)
			}
			e := door.accept(files.Lane, commands...)
			worker := c.workers[r.IntN(2)]
			c.again(func(tx database.Tx) error { return worker.executeIn(tx, e, nil) })
			for i := range asked {
				if asked[i].file = e.Commands[i].ID; asked[i].owner != "" {
					all = append(all, asked[i])
				}
			}
		})
		expectHolds(t, h)
	})
}
