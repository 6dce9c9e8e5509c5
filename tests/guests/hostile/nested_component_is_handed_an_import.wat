;; Attack: imports files and hands them on to a component in it.
;; Defence: what is imported is read from the outer type, and only four interfaces by their exact names are offered
(component
  (import "wasi:filesystem/types@0.2.6" (instance $files (export "stat" (func))))
  (component $inner (import "files" (instance (export "stat" (func)))))
  (instance (instantiate $inner (with "files" (instance $files))))
  (core module $m (func (export "handle")))
  (core instance $i (instantiate $m))
  (func (export "handle") (canon lift (core func $i "handle"))))
