//go:build race

package main

// shadows is how many times as much memory a program takes that looks for data races: for each word it remembers who has used it.
const shadows = 10
