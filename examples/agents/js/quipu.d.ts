// quipu:memory 0.1 as JavaScript sees it. What each item means is said in the WIT folder.
// Positions are numbers: a BigInt ends the run. They stay below 2^53.

declare module "quipu:memory/types" {
  export type Seq = number;
  export type EventId = string;
  export type Timestamp = string;
  export interface Source {
    channel: string;
    conversationId?: string;
    messageId?: string;
    /** The text of a JSON object. */
    extra?: string;
  }
  export interface Draft {
    kind: string;
    /** The text of a JSON object. */
    payload: string;
    source?: Source;
    evidence?: EventId[];
    supersedes?: EventId[];
    scope?: string;
    key?: string;
  }
  export interface Event {
    seq: Seq;
    id: EventId;
    ts: Timestamp;
    actor: string;
    run?: string;
    kind: string;
    scope: string;
    source?: Source;
    /** The text of a JSON object. None: it was erased. */
    payload?: string;
    evidence: EventId[];
    supersedes: EventId[];
  }
  export interface Receipt {
    seq: Seq;
    id: EventId;
    ts: Timestamp;
    hash: string;
  }
  export interface Page {
    events: Event[];
    /** Null or undefined: this was the last page. */
    next?: Seq | null;
  }
  export type ErrorKind =
    | "denied" | "invalid" | "not-found" | "too-large" | "quota" | "secret" | "conflict" | "unavailable" | "redacted";
  /** What a refused call throws: itself, or an error that has it as `payload`. */
  export interface Refusal {
    kind: ErrorKind;
    message: string;
  }
  export interface RunInfo {
    id: string;
    actor: string;
    now: Timestamp;
  }
}

declare module "quipu:memory/read" {
  import type { Event, EventId, Page, Seq } from "quipu:memory/types";
  export class Reader {
    private constructor();
    scope(): string;
    head(): Seq;
    read(start: Seq | null | undefined, limit: number): Page;
    readBack(end: Seq | null | undefined, limit: number): Page;
    get(id: EventId): Event;
    prove(id: EventId): string;
    refresh(): Seq;
  }
}

declare module "quipu:memory/recall" {
  import type { Event, EventId, Seq, Timestamp } from "quipu:memory/types";
  import type { Reader } from "quipu:memory/read";
  export interface Query {
    text: string;
    limit: number;
    kinds?: string[];
    tags?: string[];
    actors?: string[];
    since?: Timestamp;
    until?: Timestamp;
    asOf?: Seq;
  }
  export interface Fact {
    text: string;
    confidence: number;
    tags: string[];
    count: number;
    firstSeen: Timestamp;
    lastSeen: Timestamp;
    expires?: Timestamp;
    evidence: EventId[];
  }
  export interface Hit {
    event: Event;
    score: number;
  }
  export interface Link {
    later: EventId;
    earlier: EventId;
    relation: "evidence" | "supersedes";
  }
  export interface Trail {
    events: Event[];
    links: Link[];
    complete: boolean;
    asOf: Seq;
  }
  export type Budget = { tag: "characters"; val: number } | { tag: "tokens"; val: number };
  export interface Context {
    text: string;
    events: EventId[];
    asOf: Seq;
  }
  export function facts(memory: Reader[], query: Query): { facts: Fact[]; asOf: Seq };
  export function search(memory: Reader[], query: Query): { hits: Hit[]; asOf: Seq };
  export function why(memory: Reader[], id: EventId): Trail;
  export function impact(memory: Reader[], id: EventId): Trail;
  export function compose(memory: Reader[], query: Query, budget: Budget): Context;
}

declare module "quipu:memory/append" {
  import type { Draft, Receipt } from "quipu:memory/types";
  export function append(draft: Draft): Receipt;
  export function appendAll(drafts: Draft[]): Receipt[];
}

declare module "quipu:memory/agent" {
  import type { Reader } from "quipu:memory/read";
  import type { RunInfo } from "quipu:memory/types";
  /** `memory[0]` is the home scope. What it throws ends the run as failed. */
  export type Handle = (run: RunInfo, memory: Reader[], input: string) => string;
}
