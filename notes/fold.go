package notes

import (
	"unicode"
	"unicode/utf8"
)

// appendFold appends s in a form in which texts that differ only in case are equal, by full case folding as Unicode
// defines it (https://www.unicode.org/Public/UCD/latest/ucd/CaseFolding.txt): "STRASSE" equals "Straße". The form is
// only for comparing. Package cases of golang.org/x/text does the same, but would add a thirtieth to the Lambda's
// program, and swaps the cases of Cherokee letters instead of folding them.
func appendFold(b []byte, s string) []byte {
	for _, r := range s {
		switch {
		case 'a' <= r && r <= 'z':
			b = append(b, byte(r)-'a'+'A')
		case r < utf8.RuneSelf,
			0x2E80 <= r && r < 0xA640, 0xAC00 <= r && r < 0xFB00: // letters of East Asia, which have no case
			b = utf8.AppendRune(b, r)
		default:
			if several, ok := foldings[r]; ok {
				b = append(b, several...)
			} else {
				b = utf8.AppendRune(b, foldRune(r))
			}
		}
	}
	return b
}

// foldRune returns the smallest of r and the characters that differ from it only in case.
func foldRune(r rune) rune {
	smallest := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		smallest = min(smallest, other)
	}
	return smallest
}

// foldings maps each character that folds to several (status F in CaseFolding.txt) to its folding, whose characters
// foldRune does not change.
var foldings = map[rune]string{
	0x00df: "SS", 0x0130: "I\u0307", 0x0149: "\u02bcN", 0x01f0: "J\u030c", 0x0390: "\u0345\u0308\u0301",
	0x03b0: "\u03a5\u0308\u0301", 0x0587: "\u0535\u0552", 0x1e96: "H\u0331", 0x1e97: "T\u0308", 0x1e98: "W\u030a",
	0x1e99: "Y\u030a", 0x1e9a: "A\u02be", 0x1e9e: "SS", 0x1f50: "\u03a5\u0313", 0x1f52: "\u03a5\u0313\u0300",
	0x1f54: "\u03a5\u0313\u0301", 0x1f56: "\u03a5\u0313\u0342", 0x1f80: "\u1f00\u0345", 0x1f81: "\u1f01\u0345",
	0x1f82: "\u1f02\u0345", 0x1f83: "\u1f03\u0345", 0x1f84: "\u1f04\u0345", 0x1f85: "\u1f05\u0345",
	0x1f86: "\u1f06\u0345", 0x1f87: "\u1f07\u0345", 0x1f88: "\u1f00\u0345", 0x1f89: "\u1f01\u0345",
	0x1f8a: "\u1f02\u0345", 0x1f8b: "\u1f03\u0345", 0x1f8c: "\u1f04\u0345", 0x1f8d: "\u1f05\u0345",
	0x1f8e: "\u1f06\u0345", 0x1f8f: "\u1f07\u0345", 0x1f90: "\u1f20\u0345", 0x1f91: "\u1f21\u0345",
	0x1f92: "\u1f22\u0345", 0x1f93: "\u1f23\u0345", 0x1f94: "\u1f24\u0345", 0x1f95: "\u1f25\u0345",
	0x1f96: "\u1f26\u0345", 0x1f97: "\u1f27\u0345", 0x1f98: "\u1f20\u0345", 0x1f99: "\u1f21\u0345",
	0x1f9a: "\u1f22\u0345", 0x1f9b: "\u1f23\u0345", 0x1f9c: "\u1f24\u0345", 0x1f9d: "\u1f25\u0345",
	0x1f9e: "\u1f26\u0345", 0x1f9f: "\u1f27\u0345", 0x1fa0: "\u1f60\u0345", 0x1fa1: "\u1f61\u0345",
	0x1fa2: "\u1f62\u0345", 0x1fa3: "\u1f63\u0345", 0x1fa4: "\u1f64\u0345", 0x1fa5: "\u1f65\u0345",
	0x1fa6: "\u1f66\u0345", 0x1fa7: "\u1f67\u0345", 0x1fa8: "\u1f60\u0345", 0x1fa9: "\u1f61\u0345",
	0x1faa: "\u1f62\u0345", 0x1fab: "\u1f63\u0345", 0x1fac: "\u1f64\u0345", 0x1fad: "\u1f65\u0345",
	0x1fae: "\u1f66\u0345", 0x1faf: "\u1f67\u0345", 0x1fb2: "\u1f70\u0345", 0x1fb3: "\u0391\u0345",
	0x1fb4: "\u0386\u0345", 0x1fb6: "\u0391\u0342", 0x1fb7: "\u0391\u0342\u0345", 0x1fbc: "\u0391\u0345",
	0x1fc2: "\u1f74\u0345", 0x1fc3: "\u0397\u0345", 0x1fc4: "\u0389\u0345", 0x1fc6: "\u0397\u0342",
	0x1fc7: "\u0397\u0342\u0345", 0x1fcc: "\u0397\u0345", 0x1fd2: "\u0345\u0308\u0300",
	0x1fd3: "\u0345\u0308\u0301", 0x1fd6: "\u0345\u0342", 0x1fd7: "\u0345\u0308\u0342",
	0x1fe2: "\u03a5\u0308\u0300", 0x1fe3: "\u03a5\u0308\u0301", 0x1fe4: "\u03a1\u0313", 0x1fe6: "\u03a5\u0342",
	0x1fe7: "\u03a5\u0308\u0342", 0x1ff2: "\u1f7c\u0345", 0x1ff3: "\u03a9\u0345", 0x1ff4: "\u038f\u0345",
	0x1ff6: "\u03a9\u0342", 0x1ff7: "\u03a9\u0342\u0345", 0x1ffc: "\u03a9\u0345", 0xfb00: "FF", 0xfb01: "FI",
	0xfb02: "FL", 0xfb03: "FFI", 0xfb04: "FFL", 0xfb05: "ST", 0xfb06: "ST", 0xfb13: "\u0544\u0546",
	0xfb14: "\u0544\u0535", 0xfb15: "\u0544\u053b", 0xfb16: "\u054e\u0546", 0xfb17: "\u0544\u053d",
}
