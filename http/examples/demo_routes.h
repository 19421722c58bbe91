// What the demo server answers.
#pragma once

#include "weir/http/request.h"
#include "weir/http/response.h"
#include "weir/http/static_files.h"

namespace weir::example {

//     GET|OPTIONS /           OK                POST /        the body it got
//     GET /hello              Hello, World!     POST /echo    the body it got
//     GET /pipeline           ok                GET /close    bye, and closes the connection
//     GET /chunked?n=&size=   n chunks of that size
//     POST /upload            the size of the body it got, in decimal
//     GET|POST /sum?a=&b=     the sum of the query's values, and of the number in the body
//     GET /cookie             the cookies, one name=value a line
//     any method /headers     the fields of the request, one Name: Value a line
//     GET /static/NAME        a file, if there are any; NAME alone does, too
//     OPTIONS *               nothing
//
// HEAD works where GET does; OPTIONS on each of them says Allow, and so does the 405 for another
// method. Any other path is that of a file, or a 404.
class DemoRoutes {
 public:
  // `files` outlives it; null: none.
  explicit DemoRoutes(http::StaticFiles* files) : files_(files) {}
  void answer(http::Request& request, http::Response& response) const;

 private:
  http::StaticFiles* files_;
};

}  // namespace weir::example
