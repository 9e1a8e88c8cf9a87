package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"guichet/models/chat"
	"guichet/models/events"
	"guichet/models/id"
)

// demoWords are what is said in the lobby of the demonstration, by turns.
var demoWords = []string{"Good evening!", "Good evening, Ada. A game of gomoku?", "With pleasure, once I have sold my shares."}

// demoTalk opens the rooms of the first symbol and of the first event, and has people say something in the lobby, unless there are other rooms already, or nobody has told
// the admin's password.
func (a *app) demoTalk(ctx context.Context, client *demoClient, adminPassword string) error {
	open, err := chat.Rooms(a.db.Read(ctx), time.Time{}, id.ID{}, 2)
	if err != nil || len(open) > 1 || adminPassword == "" {
		return err
	}
	next, err := events.OpenEvents(a.db.Read(ctx), time.Now())
	if err != nil {
		return err
	}
	err = client.as(ctx, "admin", adminPassword, func() error {
		rooms := []map[string]any{{"name": demoSymbols[0].Symbol + " floor", "topic": demoSymbols[0].Name, "symbol": demoSymbols[0].Symbol}}
		if len(next) > 0 {
			rooms = append(rooms, map[string]any{"name": "Foyer", "topic": "For holders of tickets of the concert", "event": next[0].String()})
		}
		for _, room := range rooms {
			if _, err := client.post(ctx, "/rooms", room, nil); err != nil {
				return err
			}
		}
		return nil
	})
	for i := 0; err == nil && i < len(demoWords); i++ {
		p := demoPeople[i%len(demoPeople)]
		err = client.as(ctx, p.name, p.password, func() error {
			if _, err := client.do(ctx, http.MethodPut, "/rooms/lobby/members/me", nil, nil); err != nil {
				return err
			}
			_, err := client.post(ctx, "/rooms/lobby/messages", map[string]any{"text": demoWords[i]}, nil)
			return err
		})
	}
	return err
}

// printDemoRooms shows the rooms, with their ids.
func (a *app) printDemoRooms(ctx context.Context, out io.Writer) error {
	open, err := chat.Rooms(a.db.Read(ctx), time.Time{}, id.ID{}, 3)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nRooms\n")
	for i := range open {
		fmt.Fprintf(out, "  %s  %s\n", chat.RoomText(open[i].ID), open[i].Name)
	}
	return nil
}
