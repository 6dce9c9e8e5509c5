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
  string words = {grown(0, s.len + 2), 1};
  words.ptr[0] = ' ';
  for (size_t i = 0; i < s.len; i++) {
    uint8_t c = s.ptr[i];
    if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) words.ptr[words.len++] = c;
    else if (words.ptr[words.len - 1] != ' ') words.ptr[words.len++] = ' ';
  }
  if (words.len == 1 || words.ptr[words.len - 1] != ' ') words.ptr[words.len++] = ' ';
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

typedef struct { string *ptr; size_t len; } list;

// Any order in which equal texts are neighbours.
static int order(const void *a, const void *b) {
  const string *x = a, *y = b;
  return x->len != y->len ? (x->len < y->len ? -1 : 1) : memcmp(x->ptr, y->ptr, x->len);
}

// In that order, each once.
static list sorted(list all) {
  list each = {all.ptr, 0};
  qsort(all.ptr, all.len, sizeof *all.ptr, order);
  for (size_t i = 0; i < all.len; i++)
    if (!i || !equal(all.ptr[i], each.ptr[each.len - 1])) each.ptr[each.len++] = all.ptr[i];
  return each;
}

// How many texts two sorted lists share.
static size_t shared(list a, list b) {
  size_t count = 0;
  for (size_t i = 0, j = 0; i < a.len && j < b.len;) {
    int c = order(a.ptr + i, b.ptr + j);
    count += c == 0, i += c <= 0, j += c >= 0;
  }
  return count;
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
  for (size_t i = 0, from = 0; i <= s.len; i++) {
    uint8_t c = i < s.len ? s.ptr[i] : '"';
    if (c != '"' && c != '\\' && c >= 32) continue;
    put(to, (string){s.ptr + from, i - from}), from = i + 1; // all that needs no escape
    if (i == s.len) break;
    put_byte(to, '\\');
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

// Where the JSON string ends whose first quote is at that place: behind its last.
static size_t json_end(string json, size_t at) {
  for (at++; at < json.len && json.ptr[at] != '"'; at++) at += json.ptr[at] == '\\';
  return at + 1;
}

// What it says. It has no more bytes than its JSON.
static string json_string(string json, size_t at) {
  string out = {grown(0, json_end(json, at) - at), 0};
  for (size_t i = at + 1; json.ptr[i] != '"'; i++) {
    uint8_t c = json.ptr[i];
    if (c != '\\') { out.ptr[out.len++] = c; continue; }
    c = json.ptr[++i];
    const char *found = strchr("b\bf\fn\nr\rt\t", c);
    if (c != 'u') { out.ptr[out.len++] = found ? found[1] : c; continue; }
    uint32_t n = json_hex(json.ptr + i + 1);
    i += 4;
    if (n >= 0xd800 && n < 0xdc00) n = 0x10000 + ((n - 0xd800) << 10) + json_hex(json.ptr + i + 3) - 0xdc00, i += 6;
    if (n < 0x80) out.ptr[out.len++] = n;
    else {
      if (n < 0x800) out.ptr[out.len++] = 0xc0 | n >> 6;
      else {
        if (n < 0x10000) out.ptr[out.len++] = 0xe0 | n >> 12;
        else out.ptr[out.len++] = 0xf0 | n >> 18, out.ptr[out.len++] = 0x80 | (n >> 12 & 63);
        out.ptr[out.len++] = 0x80 | (n >> 6 & 63);
      }
      out.ptr[out.len++] = 0x80 | (n & 63);
    }
  }
  return out;
}

// Without white space before it.
static string json_begin(string json) {
  while (json.len && is_any(*json.ptr, " \t\r\n")) json.ptr++, json.len--;
  return json;
}

// The text of an object's member, as JSON; empty where there is none, and where this is no object.
static string json_member(string json, const char *name) {
  size_t depth = 0, start = 0;
  bool wanted = false;
  json = json_begin(json);
  if (!json.len || *json.ptr != '{') return (string){0};
  for (size_t at = 0; at < json.len; at++) {
    uint8_t c = json.ptr[at];
    if (c == '"') {
      if (depth == 1 && !start) {
        string said = json_string(json, at);
        wanted = same(said, name), start = at;
        free(said.ptr);
      }
      at = json_end(json, at) - 1;
      continue;
    }
    if (depth == 1 && (c == ',' || c == '}')) {
      if (wanted) return json_begin((string){json.ptr + start, at - start});
      start = 0;
    }
    if (depth == 1 && c == ':') start = at + 1;
    depth += (c == '{' || c == '[') - (c == '}' || c == ']');
  }
  return (string){0};
}

// A member that is a string: whether there is one, and what it says. It is to be freed.
static bool json_text(string json, const char *name, string *out) {
  string member = json_member(json, name);
  if (!member.len || *member.ptr != '"') return false;
  *out = json_string(member, 0);
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
