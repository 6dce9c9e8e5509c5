// Texts that grow, and as much of JSON as an agent needs. The host hands over valid JSON only, no member twice.
#ifndef TEXT_H
#define TEXT_H

#include "bindings/agent.h"
#include <stdlib.h>
#include <string.h>

typedef agent_string_t string; // pointer and length in bytes; UTF-8, and may hold a zero

static string text(const char *s) { return (string){(uint8_t *)s, strlen(s)}; }
static bool equal(string a, string b) { return a.len == b.len && !memcmp(a.ptr, b.ptr, a.len); }
static bool same(string a, const char *b) { return equal(a, text(b)); }
static bool ends(string a, const char *b) { return a.len >= strlen(b) && !memcmp(a.ptr + a.len - strlen(b), b, strlen(b)); }
static bool begins(string a, const char *b) { return a.len >= strlen(b) && !memcmp(a.ptr, b, strlen(b)); }

static void *grown(void *p, size_t bytes) {
  p = realloc(p, bytes);
  if (!p) __builtin_trap();
  return p;
}

// Adds to the end.
static void put(string *to, string more) {
  to->ptr = grown(to->ptr, to->len + more.len + 1);
  if (more.len) memcpy(to->ptr + to->len, more.ptr, more.len);
  to->ptr[to->len += more.len] = 0; // not counted: for functions that want an end
}
static void puts_to(string *to, const char *more) { put(to, text(more)); }
static void put_byte(string *to, uint8_t byte) { put(to, (string){&byte, 1}); }
static void put_number(string *to, uint64_t number) {
  if (number > 9) put_number(to, number / 10);
  put_byte(to, '0' + number % 10);
}

// Whether a byte is one of those; strchr would find a zero, too.
static bool is_any(uint8_t c, const char *of) { return c && strchr(of, c); }

// Without spaces, tabs and carriage returns at its ends.
static string trimmed(string s) {
  while (s.len && is_any(*s.ptr, " \t\r")) s.ptr++, s.len--;
  while (s.len && is_any(s.ptr[s.len - 1], " \t\r")) s.len--;
  return s;
}

// Its letters and digits of ASCII in lower case, one space around each word.
static string words_of(string s) {
  string words = {0};
  puts_to(&words, " ");
  for (size_t i = 0; i < s.len; i++) {
    uint8_t c = s.ptr[i];
    if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) put_byte(&words, c);
    else if (words.ptr[words.len - 1] != ' ') puts_to(&words, " ");
  }
  if (words.len == 1 || words.ptr[words.len - 1] != ' ') puts_to(&words, " ");
  return words;
}

// Whether a phrase is among the words.
static bool has(string words, string phrase) {
  for (size_t at = 1; at + phrase.len < words.len; at++)
    if (words.ptr[at - 1] == ' ' && words.ptr[at + phrase.len] == ' ' && !memcmp(words.ptr + at, phrase.ptr, phrase.len)) return true;
  return false;
}

// Whether one of the phrases, which have `|` between them, is.
static bool has_any(string words, const char *phrases) {
  for (size_t len; *phrases; phrases += len + (phrases[len] == '|')) {
    len = strcspn(phrases, "|");
    if (has(words, (string){(uint8_t *)phrases, len})) return true;
  }
  return false;
}

// Takes the next word of words.
static bool next_word(string *rest, string *word) {
  while (rest->len && *rest->ptr == ' ') rest->ptr++, rest->len--;
  for (*word = (string){rest->ptr, 0}; rest->len && *rest->ptr != ' '; rest->ptr++, rest->len--) word->len++;
  return word->len > 0;
}

// Takes the next sentence: to the end of its line, or to a space behind `.`, `!` or `?`.
static bool next_sentence(string *rest, string *sentence) {
  size_t len = 0;
  if (!rest->ptr) return false;
  while (len < rest->len && rest->ptr[len] != '\n' && !(len && rest->ptr[len] == ' ' && is_any(rest->ptr[len - 1], ".!?"))) len++;
  *sentence = trimmed((string){rest->ptr, len});
  *rest = len < rest->len ? (string){rest->ptr + len + 1, rest->len - len - 1} : (string){0};
  return true;
}

// Adds a JSON string.
static void put_json(string *to, string s) {
  static const char plain[] = "btn\0fr"; // 8 to 13, of which 11 has no short form
  put_byte(to, '"');
  for (size_t i = 0; i < s.len; i++) {
    uint8_t c = s.ptr[i];
    if (c == '"' || c == '\\' || c < 32) put_byte(to, '\\');
    if (c >= 8 && c <= 13 && c != 11) put_byte(to, plain[c - 8]);
    else if (c < 32) puts_to(to, c < 16 ? "u000" : "u001"), put_byte(to, "0123456789abcdef"[c & 15]);
    else put_byte(to, c);
  }
  put_byte(to, '"');
}

static uint32_t json_hex(const uint8_t *p) {
  uint32_t n = 0;
  for (int i = 0; i < 4; i++) n = n * 16 + (p[i] <= '9' ? p[i] - '0' : (p[i] | 32) - 'a' + 10);
  return n;
}

// What a JSON string says, where `*at` is its first quote; `*at` is then behind its last.
static string json_string(string json, size_t *at) {
  string out = {0};
  put(&out, text(""));
  for (size_t i = *at + 1; i < json.len; i++) {
    uint8_t c = json.ptr[i];
    if (c == '"') { *at = i + 1; return out; }
    if (c != '\\') { put_byte(&out, c); continue; }
    c = json.ptr[++i];
    const char *found = strchr("b\bf\fn\nr\rt\t", c);
    if (c != 'u') { put_byte(&out, found ? found[1] : c); continue; }
    uint32_t n = json_hex(json.ptr + i + 1);
    i += 4;
    if (n >= 0xd800 && n < 0xdc00) n = 0x10000 + ((n - 0xd800) << 10) + json_hex(json.ptr + i + 3) - 0xdc00, i += 6;
    if (n < 0x80) put_byte(&out, n);
    else {
      if (n < 0x800) put_byte(&out, 0xc0 | n >> 6);
      else {
        if (n < 0x10000) put_byte(&out, 0xe0 | n >> 12);
        else put_byte(&out, 0xf0 | n >> 18), put_byte(&out, 0x80 | (n >> 12 & 63));
        put_byte(&out, 0x80 | (n >> 6 & 63));
      }
      put_byte(&out, 0x80 | (n & 63));
    }
  }
  __builtin_trap();
}

// The text of an object's member, as JSON; empty where there is none, and where this is no object.
static string json_member(string json, const char *name) {
  size_t depth = 0, at = 0, start = 0;
  bool wanted = false;
  while (at < json.len) {
    uint8_t c = json.ptr[at];
    if (at == 0 && c != '{') break;
    if (c == '"') {
      size_t begin = at;
      string said = json_string(json, &at);
      if (depth == 1 && !start) wanted = same(said, name), start = begin;
      free(said.ptr);
      continue;
    }
    if (depth == 1 && (c == ',' || c == '}')) {
      if (wanted) return (string){json.ptr + start, at - start};
      start = 0;
    }
    if (depth == 1 && c == ':') start = at + 1;
    depth += (c == '{' || c == '[') - (c == '}' || c == ']');
    at++;
  }
  return (string){0};
}

// A member that is a string: whether there is one, and what it says.
static bool json_text(string json, const char *name, string *out) {
  string member = json_member(json, name);
  size_t at = 0;
  while (at < member.len && is_any(member.ptr[at], " \t\r\n")) at++;
  if (at == member.len || member.ptr[at] != '"') return false;
  *out = json_string(member, &at);
  return true;
}

// The run's error, of a call that was refused. Its result is what `handle` returns then.
static bool refused(quipu_memory_types_error_t error, string *err) {
  static const char *kinds[] = {"denied", "invalid", "not-found", "too-large", "quota", "secret", "conflict", "unavailable", "redacted"};
  *err = (string){0};
  puts_to(err, kinds[error.kind]), puts_to(err, ": "), put(err, error.message);
  return false;
}

#endif
