/**
 * Types and reference of metabox.js, the element <kb-meta-box>.
 *
 *   <script type="module" src="/static/kb/metabox.js"></script>
 *   <kb-meta-box src="/api/v1/posts/some-post/meta/"></kb-meta-box>
 *
 * Save this file beside metabox.js, or name it in `types` of tsconfig.json; then querySelector, createElement and
 * addEventListener know the element. For JSX (React 19) add once:
 *
 *   declare module "react" {
 *     namespace JSX { interface IntrinsicElements { "kb-meta-box": KbMetaBoxAttributes & React.HTMLAttributes<KbMetaBox> } }
 *   }
 *
 * Needs a browser of 2024 or later: Chrome and Edge 125, Firefox 126, Safari 17.5.
 */

/** Attributes. Those of every element work too: `lang` is the language of numbers and dates, `dir` the direction. */
export interface KbMetaBoxAttributes {
  /** Address of a post's meta JSON. A new one drops what is shown or under way and loads. Without it, give data. */
  src?: string;
  /** "show" (default) loads images; "link" names them with a link and loads nothing. */
  images?: "show" | "link";
  /** Level of the box's heading, 1 to 5 (default 2); its sections are one level lower. */
  "heading-level"?: 1 | 2 | 3 | 4 | 5 | `${number}`;
  /** Milliseconds after which one request is given up (default 10000). */
  "timeout-ms"?: number | `${number}`;
  /** How often to ask again by itself, 0 to 5 (default 2): where the cause lies with the network or the moment. */
  retries?: number | `${number}`;
  /** "light" or "dark", whatever the page is; without it, the page's own color-scheme. */
  theme?: "light" | "dark";
}

/** idle: no src and no data yet. empty: an answer with nothing to show. */
export type KbMetaState = "idle" | "loading" | "ready" | "empty" | "error";

/** What comes besides the address. Headers must be an object or Headers; `signal` and Accept are the box's own. */
export type KbFetchInit = Omit<RequestInit, "signal" | "method" | "body">;

/** `attempt` counts from 1; `signal` ends when the box gives up: hand it to what you fetch yourself. */
export type KbFetchInitMaker = (
  url: URL,
  request: { attempt: number; signal: AbortSignal },
) => KbFetchInit | null | undefined | Promise<KbFetchInit | null | undefined>;

/**
 * address     src is no http or https address; nothing was asked
 * network     no answer: no connection, or the server does not allow this page (CORS), or fetchInit failed
 * timeout     no answer within timeout-ms
 * signin      401 or 403
 * missing     404 or 410: never there, withdrawn or not published, which look the same
 * busy        429
 * server      500 and above
 * refused     any other status
 * unreadable  an answer or inline JSON that is no JSON object
 */
export type KbErrorKind =
  | "address" | "network" | "timeout" | "signin" | "missing" | "busy" | "server" | "refused" | "unreadable";

export interface KbErrorDetail {
  kind: KbErrorKind;
  /** What the reader is told, and the hint below it. */
  message: string;
  hint: string;
  /** HTTP status; 0 without an answer. */
  status: number;
  /** Whether the same request may succeed later. */
  retry?: boolean;
  /** Seconds from Retry-After; null without one. Other origins see it if the API exposes the header, as kb does. */
  retryAfter: number | null;
  requestId?: string;
  /** The body of the refusal, problem+json (RFC 9457) where kb answers; null if it was no JSON. */
  problem?: KbProblem | null;
  /** What was thrown, for kind network. */
  cause?: unknown;
}

export interface KbProblem {
  type: string;
  title: string;
  status: number;
  code: string;
  detail: string;
  retry: boolean;
  request_id: string;
  [more: string]: unknown;
}

/** Events. They bubble and leave shadow roots, so one listener on the document hears every box. */
export interface KbMetaBoxEventMap {
  /** The box shows data. `from` says whose: fetched, from the JSON within the element, or set by the page. */
  "kb-load": CustomEvent<{ data: KbMeta; from: "src" | "inline" | "data" }>;
  /** The box shows an error and asks no more by itself. */
  "kb-error": CustomEvent<KbErrorDetail>;
  /** A request failed and another follows in `delay` milliseconds. */
  "kb-retry": CustomEvent<KbErrorDetail & { attempt: number; delay: number }>;
  /** The reader ticked an item of the checklist, or took the tick back. */
  "kb-tick": CustomEvent<{ index: number; item: string; checked: boolean; done: number; total: number }>;
}

/** Meta JSON of one post, as /api/v1/posts/SLUG/meta/ answers. The box needs no key of it and trusts no type. */
export interface KbMeta {
  title: string;
  slug: string;
  topic: string;
  summary: string;
  ai_outline: { label: string; text: string }[];
  ai_brief: string;
  stack: string[];
  tools: string[];
  code_language: string;
  difficulty: string;
  reading_time: number | null;
  view_count: number | null;
  score: Record<string, number>;
  revision: { status: string; version: string; last_reviewed: string | null };
  reference: string;
  hash: string;
  flags: Record<string, boolean>;
  checklist: string[];
  entities: { name: string; type: string }[];
  image_sources: { source: string; url: string; caption: string }[];
  payload: Record<string, unknown>;
  notes: string[];
  owner: string;
  expected_result: string;
  rollback_note: string;
  review: {
    reviewed: boolean;
    at: string;
    version: string;
    fingerprint: string;
    ai_involved: boolean;
    review_by: string;
  };
}

/**
 * Within the element
 *   <script type="application/json">   the meta JSON itself: shown at once and without a request; read once
 *   slot="error"                       shown with an error, such as a link to sign in
 *   anything else                      shown only where the script does not run
 *
 * CSS states: kb-meta-box:state(idle), (loading), (ready), (empty), (error)
 */
export class KbMetaBox extends HTMLElement {
  /** Mirrors the attribute. */
  src: string;
  /** What is shown, or null. Setting it shows it without a request and drops one under way; null empties the box. */
  get data(): KbMeta | null;
  set data(value: Partial<KbMeta> | null);
  /**
   * What fetch is given besides the address, or a function asked before every request: the place for tokens,
   * never markup. Defaults are `credentials: "same-origin"` and `cache: "no-cache"`, which shows a stored answer
   * only after the server confirmed its ETag. Whatever a page can send, its visitors and every script on it can read.
   */
  fetchInit: KbFetchInit | KbFetchInitMaker | null;
  readonly state: KbMetaState;
  readonly error: (Error & KbErrorDetail) | null;
  /** Ask for src anew; resolves when the box shows the outcome. What is shown stays until then. */
  reload(): Promise<void>;

  addEventListener<K extends keyof KbMetaBoxEventMap>(
    type: K,
    listener: (this: KbMetaBox, event: KbMetaBoxEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener<K extends keyof HTMLElementEventMap>(
    type: K,
    listener: (this: KbMetaBox, event: HTMLElementEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener(
    type: keyof KbMetaBoxEventMap | keyof HTMLElementEventMap,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | EventListenerOptions,
  ): void;
}

/** For kb-meta-box::part(NAME). Sections are `section` and a name of their own. */
export type KbMetaBoxPart =
  | "box" | "heading" | "status" | "review" | "label" | "error" | "retry" | "skeleton" | "details"
  | "section" | "section-heading"
  | "summary" | "facts" | "checklist" | "brief" | "outline" | "care" | "scores" | "stack" | "tools" | "entities"
  | "flags" | "images" | "empty"
  | "chips" | "chip" | "meter" | "bar" | "progress" | "notes" | "figure" | "image";

/** Custom properties that dress the box; each has a default that follows the color-scheme. tokens.css sets most. */
export type KbMetaBoxProperty =
  /** Grounds and text; the other greys are mixed of paper and ink where they are not set. */
  | "--kb-paper" | "--kb-ink" | "--kb-surface" | "--kb-line" | "--kb-edge" | "--kb-muted"
  /** States; their tints are mixed of them and paper. */
  | "--kb-accent" | "--kb-info" | "--kb-warn" | "--kb-danger"
  | "--kb-font" | "--kb-mono"
  /** Size of the text (14px), inner distance (16px), corners (6px). */
  | "--kb-size" | "--kb-gap" | "--kb-radius"
  /** Least height in every state (0): with about the height of a whole box, nothing below it moves. */
  | "--kb-reserve";

declare global {
  interface HTMLElementTagNameMap {
    "kb-meta-box": KbMetaBox;
  }
  interface DocumentEventMap extends KbMetaBoxEventMap {}
}
